"""Two levels against plain loops over sequences and their sentences."""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.common.rows import session_segments
from behavior_lm.layers.stack import run_stack
from behavior_lm.models.encoders.sentences import count_left_out
from tests.models.encoders.encoder_sessions_test import ALONE
from tests.models.encoders.encoder_sessions_test import encode
from tests.models.encoders.encoder_sessions_test import encoder_of
from tests.models.encoders.encoder_sessions_test import LENGTH
from tests.models.encoders.encoder_sessions_test import PACKED
from tests.models.encoders.encoder_sessions_test import SEQUENCES

ORDER = (2, 0, 1)  # of the sequences in the packed row
BOTH_WAYS = {}
CAUSAL = dict(
    causal=True,
    time_encoding="bucket",
    position_encoding="rotary",
    norm_position="pre",
)
WAYS = pytest.mark.parametrize(
    "options", [BOTH_WAYS, CAUSAL], ids=["both_ways", "causal"]
)


def two_levels(name="bert", **options):
  return encoder_of(
      name, **dict(session_layers=1, sentence_layers=2) | options
  )


def run(encoder, batch, function):
  """function(encoder, batch), compiled."""
  graphdef, state = nnx.split(encoder)
  program = jax.jit(
      lambda state, batch: function(nnx.merge(graphdef, state), batch)
  )
  return jax.tree.map(np.asarray, program(state, batch))


def plain_two_levels(encoder, batch):
  """States after both levels of sequences alone, one loop inside another."""
  common = dict(deterministic=True, rngs=None)
  embedded = encoder.embedded(batch)
  # Each sentence is a row of its own.
  rows, where = [], []
  for row, sequence in enumerate(SEQUENCES):
    for number in range(max(sequence) + 1):
      at = [i for i, own in enumerate(sequence) if own == number]
      rows.append((row, at))
      where.append(row)
  cut = lambda x: jnp.stack([
      jnp.pad(x[row, jnp.array(at)],
              ((0, LENGTH - len(at)), *[(0, 0)] * (x.ndim - 2)))
      for row, at in rows
  ])
  sizes = np.array([len(at) for _, at in rows])
  hidden = encoder.run_layers(
      cut(embedded),
      1,
      segment_ids=jnp.asarray(np.arange(LENGTH) < sizes[:, None], jnp.int32),
      positions=cut(batch["positions"]),
      **common,
  )
  out = jnp.zeros_like(embedded)
  for row in range(len(SEQUENCES)):
    mine = [place for place, owner in enumerate(where) if owner == row]
    vectors = jnp.stack([hidden[p, : sizes[p]].mean(0) for p in mine])[None]
    numbers = jnp.arange(len(mine))[None]
    level = encoder.sentences
    if level.position is not None:
      vectors = vectors + level.position.embedding[...][: len(mine)]
    vectors = run_stack(
        list(level.layers),
        vectors,
        depth=2,
        segment_ids=jnp.ones_like(numbers),
        positions=numbers,
    )[0]
    for number, place in enumerate(mine):
      state = hidden[place, : sizes[place]]
      if not encoder.config.causal:
        state = state + vectors[number]
      elif number:
        state = state + vectors[number - 1]
      out = out.at[row, jnp.array(rows[place][1])].set(state)
  return out if encoder.final_norm is None else encoder.final_norm(out)


@pytest.mark.slow
@WAYS
def test_both_levels_are_those_of_loops_over_sentences(options):
  encoder = two_levels(**options)
  want = run(encoder, ALONE, plain_two_levels)
  found = run(encoder, PACKED, lambda model, batch: model.encode(
      batch, layer=1
  ))
  start = 0
  for number in ORDER:
    size = len(SEQUENCES[number])
    np.testing.assert_allclose(
        found[0, start : start + size], want[number, :size], atol=1e-5
    )
    start += size


@pytest.mark.slow
@pytest.mark.parametrize("name, options", [
    ("bert", CAUSAL),
    ("longformer", BOTH_WAYS),
])
def test_packed_sequences_have_the_states_that_they_have_alone(name, options):
  encoder = two_levels(name, **options)
  packed, alone = run(encoder, (PACKED, ALONE), lambda model, both: [
      model.encode(batch) for batch in both
  ])
  start = 0
  for number in ORDER:
    size = len(SEQUENCES[number])
    np.testing.assert_allclose(
        packed[0, start : start + size], alone[number, :size], atol=1e-5
    )
    start += size


@pytest.mark.slow
@WAYS
def test_gradients_reach_the_sentences_of_a_segment_and_no_others(options):
  """Without upper layers, from one token of the middle sentence."""
  encoder = two_levels(num_layers=1, **options)
  # The segment in the middle is the first sequence: sentences 0 0 0 1 1 2.
  begin, token = len(SEQUENCES[2]), len(SEQUENCES[2]) + 3

  def slopes(model, batch):
    embedded = model.embedded(batch)
    state = lambda x: jnp.sin(
        model.encode(batch | {"embedded": x})[0, token]
    ).sum()
    return jnp.abs(jax.grad(state)(embedded)).sum(-1)[0]

  found = run(encoder, PACKED, slopes)
  reached = np.flatnonzero(found > 1e-7) - begin
  # A causal token hears of the sentence before and of its own up to itself.
  want = [0, 1, 2, 3] if encoder.config.causal else [0, 1, 2, 3, 4, 5]
  assert reached.tolist() == want


@pytest.mark.slow
def test_a_causal_token_hears_nothing_of_later_ones():
  encoder = two_levels(**CAUSAL)
  # The packed row as it is, and with another token at each of six places.
  batch = {name: jnp.tile(x[:1], (7, 1)) for name, x in PACKED.items()}
  rows, places = np.arange(1, 7), np.arange(2, 8)
  batch["tokens"] = batch["tokens"].at[rows, places].add(1)
  before, *after = encode(encoder, batch)
  for place, states in enumerate(after, 2):
    np.testing.assert_array_equal(before[:place], states[:place])
    assert not np.allclose(before[place], states[place], atol=1e-6)


@pytest.mark.slow
def test_sentences_behind_the_last_place_are_left_out_and_counted():
  encoder = two_levels(num_layers=1, max_sentences=5)
  alone = encoder_of("bert", session_layers=1, num_layers=1)
  for name in ("embed", "layers"):
    nnx.update(getattr(alone, name), nnx.state(getattr(encoder, name)))
  found, whole = encode(encoder, PACKED), encode(alone, PACKED)
  ids = session_segments(PACKED["segment_ids"], PACKED["sessions"])
  left_out = np.asarray((ids > 5) | (ids == 0))
  np.testing.assert_allclose(found[left_out], whole[left_out], atol=1e-6)
  assert (np.abs(found - whole).max(-1)[~left_out] > 1e-3).all()
  assert [int(x) for x in count_left_out(ids, 5)] == [2, 7]
  assert [int(x) for x in count_left_out(ids, 7)] == [0, 7]


@pytest.mark.slow
def test_few_states_are_those_of_all():
  encoder = two_levels(num_layers=1)
  at = jnp.array([[4, 0], [1, 1], [0, 2]])
  few, whole = run(encoder, ALONE, lambda model, batch: (
      model.encode(batch, at), model.encode(batch)
  ))
  np.testing.assert_allclose(
      few, np.take_along_axis(whole, np.asarray(at)[..., None], 1), atol=1e-6
  )


@pytest.mark.parametrize("name, options, message", [
    ("bert", {"session_layers": 0}, "sentence_layers 2 with session_layers 0"),
    ("bert", {"sentence_layers": -1}, "must be at least 0"),
    ("bert", {"max_sentences": -1}, "must be at least 0"),
    ("reformer", {"session_layers": 0}, "sentence_layers is 2: hashing"),
])
def test_settings_that_do_not_fit_are_refused(name, options, message):
  with pytest.raises(ValueError, match=message):
    two_levels(name, **options)
