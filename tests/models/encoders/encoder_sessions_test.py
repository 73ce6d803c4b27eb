"""Models that read sessions: a vector of the number, layers within sessions."""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.common.rows import session_segments
from behavior_lm.data.sessions import SessionRule
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.recipes.shared.causality import check_tokens
from tests.models.encoders.encoder_test import make_config
from tests.tiny import tiny_config

LENGTH = 16
# Sessions of three sequences, CLS first.
SEQUENCES = ([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 1], [0, 1])
MODELS = ("bert", "longformer", "albert")


def encoder_of(name, **options):
  values = dict(num_layers=2, embed_dim=8, num_heads=1, mlp_dim=8)
  config = make_config(name, **values | options)
  return ENCODERS[name][0](config, rngs=nnx.Rngs(0))


def batch_of(rows):
  """Rows of sequences by their numbers; tokens depend on the sequence."""
  names = ("tokens", "time_gaps", "positions", "segment_ids", "sessions")
  batch = {name: np.zeros((len(rows), LENGTH), np.int32) for name in names}
  for row, numbers in enumerate(rows):
    start = 0
    for place, number in enumerate(numbers, 1):
      size = len(SEQUENCES[number])
      rng = np.random.default_rng(number)
      at = (row, slice(start, start + size))
      batch["tokens"][at] = rng.integers(5, 60, size)
      batch["time_gaps"][at] = rng.integers(0, 50, size)
      batch["positions"][at] = np.arange(size)
      batch["segment_ids"][at] = place
      batch["sessions"][at] = SEQUENCES[number]
      start += size
  return {name: jnp.asarray(values) for name, values in batch.items()}


# The same shape, packed and not.
PACKED = batch_of([(2, 0, 1), (), ()])
ALONE = batch_of([(0,), (1,), (2,)])


def encode(encoder, batch, layer=None):
  graphdef, state = nnx.split(encoder)
  run = lambda state, batch: nnx.merge(graphdef, state).encode(
      batch, layer=layer
  )
  return np.asarray(jax.jit(run)(state, batch))


def test_sessions_of_all_segments_are_numbered_along_the_row():
  found = session_segments(PACKED["segment_ids"], PACKED["sessions"])
  assert found[0].tolist() == [1, 2, 3, 3, 3, 4, 4, 5, 6, 6, 7, 7, 7, 7, 0, 0]
  assert not found[1:].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_packed_sequences_have_the_states_that_they_have_alone(name):
  graphdef, state = nnx.split(
      encoder_of(name, session_layers=1, session_rows=2)
  )
  run = jax.jit(
      lambda state, batch: nnx.merge(graphdef, state).encode(batch)
  )
  packed, alone = run(state, PACKED)[0], run(state, ALONE)
  start = 0
  for number in (2, 0, 1):
    size = len(SEQUENCES[number])
    np.testing.assert_allclose(
        packed[start : start + size], alone[number, :size], atol=1e-5
    )
    start += size


@pytest.mark.slow
def test_low_layers_are_those_of_sequences_that_end_with_each_session():
  """The oracle: sessions given as segments to a model that has no sessions."""
  low, plain = encoder_of("bert", session_layers=1), encoder_of("bert")
  cut = PACKED | {
      "segment_ids": session_segments(PACKED["segment_ids"], PACKED["sessions"])
  }
  want = encode(plain, cut, layer=1)
  np.testing.assert_allclose(encode(low, PACKED, layer=1), want, atol=1e-6)
  assert not np.allclose(encode(plain, PACKED, layer=1), want, atol=1e-2)


@pytest.mark.slow
def test_gradients_cross_sessions_in_the_upper_layers_alone():
  """By the token of a last session, at the first token of its sequence."""
  encoder = encoder_of("bert", session_layers=1, session_rows=2)
  graphdef, state = nnx.split(encoder)

  def first_state(state, layer):
    hidden = nnx.merge(graphdef, state).encode(ALONE, layer=layer)
    return jnp.square(hidden[0, 0]).sum()

  gradients = jax.jit(jax.grad(first_state), static_argnums=1)
  last_token = int(ALONE["tokens"][0, 5])
  for layer, reaches in ((1, False), (2, True)):
    found = gradients(state, layer)["embed"]
    row = found["token"]["embedding"][...][last_token]
    assert bool(jnp.any(row)) == reaches
    rows = found["session"]["embedding"][...]
    assert rows.shape == (2, 8) and jnp.any(rows[0])
    assert bool(jnp.any(rows[1])) == reaches


def test_sessions_behind_the_last_row_share_it():
  encoder = encoder_of("bert", session_rows=2)
  embed = lambda sessions: encode(
      encoder, ALONE | {"sessions": jnp.full((3, LENGTH), sessions)}, layer=0
  )
  np.testing.assert_array_equal(embed(1), embed(9))
  assert not np.allclose(embed(0), embed(1))


def test_sessions_are_read_where_a_setting_needs_them():
  fields = lambda **options: make_config("bert", **options).fields
  assert "sessions" not in fields()
  assert fields(session_rows=4)[-1] == fields(session_layers=1)[-1] == (
      "sessions"
  )
  twice = fields(session_rows=4, features=(("sessions", 0),))
  assert twice.count("sessions") == 1


@pytest.mark.parametrize("name, options, message", [
    ("bert", {"session_layers": 3}, "this model has 2 layers"),
    ("reformer", {"session_layers": 1}, "session_layers is 1: hashing"),
])
def test_settings_that_do_not_fit_are_refused(name, options, message):
  with pytest.raises(ValueError, match=message):
    encoder_of(name, **options)


class Made:
  """A tokenizer, as far as it is asked."""

  one_token_an_event = True

  def __init__(self, sessions):
    self.settings = self
    self.sessions, self.sep_tokens = sessions, False


@pytest.mark.parametrize("causal, rule, message", [
    (False, SessionRule(), "one session of each sequence"),
    (True, SessionRule("user_quantile", quantile=0.9), "later events move"),
])
def test_models_need_sessions_that_do_not_tell_the_future(
    causal, rule, message
):
  config = tiny_config("", model__session_layers=1, model__causal=causal)
  with pytest.raises(UserError, match=message):
    check_tokens(config, Made(rule))
  check_tokens(config, Made(SessionRule("fixed", seconds=60.0)))
