"""What every model must do, whatever its layers are."""

import functools

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.data.packed_rows import RowSource
from behavior_lm.data.pipeline import BatchSpec
from behavior_lm.data.pipeline import make_loader
from behavior_lm.layers.heads import logits
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.language_model import LanguageModel
from tests.attention.comparing import assert_close
from tests.data.windows_test import windows_of

# Not a multiple of any window or chunk. Most tests have rows of one shape: a
# model is compiled for each.
ROWS, LENGTH, VOCAB = 2, 31, 60
FIELDS = ("tokens", "positions", "segment_ids", "time_gaps")
OWN = {
    "bert": {},
    "albert": {"embedding_dim": 8},
    "ligr": {},
    "longformer": {"window_size": 4},
    "modern": {"window_size": 4, "num_layers": 4},
    # One chunk: in chunks a sequence meets others in a packed row than alone.
    # Reversible layers keep less than any policy of remat.
    "reformer": {
        "window_size": 4,
        "chunk_size": LENGTH,
        "reversible": False,
    },
}
CAUSAL = {"causal": True, "time_encoding": "bucket"}
EVERY_MODEL = pytest.mark.parametrize("name", sorted(ENCODERS))


def make_config(name, **options):
  values = dict(
      vocab_size=VOCAB,
      num_layers=2,
      embed_dim=16,
      num_heads=2,
      mlp_dim=32,
      max_length=LENGTH,
      max_segments=8,
  )
  return ENCODERS[name][1](**values | OWN[name] | options)


def make(name, **options):
  config = make_config(name, **options)
  return ENCODERS[name][0](config, rngs=nnx.Rngs(0))


@functools.cache
def compiled(name, **options):
  """encode(batch, offsets, layer) of a model, compiled once per shape."""
  graphdef, state = nnx.split(make(name, **options))

  @functools.partial(jax.jit, static_argnames="layer")
  def run(state, batch, offsets, layer):
    return nnx.merge(graphdef, state).encode(batch, offsets, layer=layer)

  return lambda batch, offsets=None, layer=None: run(
      state, batch, offsets, layer
  )


def make_with_head(name, **options):
  return LanguageModel(name, make_config(name, **options), rngs=nnx.Rngs(0))


def batches_of(windows, spec):
  rows = RowSource(windows, LENGTH, spec.segments, repeat=False)
  return make_loader(rows, spec, drop_remainder=False)


def test_every_model_is_tested_here():
  assert OWN.keys() == ENCODERS.keys()


def hidden_by_sequence(encode, pack):
  """tokens of a sequence -> its hidden states."""
  found = {}
  windows = windows_of([5, 9, 3, 22, 31, 1, 14], max_length=LENGTH)
  spec = BatchSpec(ROWS, LENGTH, max_segments=8, pack=pack, prefetch=0)
  for batch in batches_of(windows, spec):
    hidden = encode({name: jnp.asarray(batch[name]) for name in FIELDS})
    for row, ids in enumerate(batch["segment_ids"]):
      for segment in range(1, ids.max() + 1):
        inside = ids == segment
        tokens = tuple(batch["tokens"][row, inside].tolist())
        found[tokens] = np.asarray(hidden)[row, inside]
  return found


@pytest.mark.slow
@EVERY_MODEL
@pytest.mark.parametrize("options", [{}, CAUSAL], ids=str)
def test_packed_and_unpacked_sequences_have_the_same_hidden_states(
    name, options
):
  encode = compiled(name, **options)
  packed = hidden_by_sequence(encode, pack=True)
  alone = hidden_by_sequence(encode, pack=False)
  assert packed.keys() == alone.keys() and len(packed) == 7
  for tokens, hidden in packed.items():
    np.testing.assert_allclose(hidden, alone[tokens], atol=1e-5)


def full_rows(length=LENGTH):
  """Rows that one segment fills."""
  rng = np.random.default_rng(0)
  shape = (ROWS, length)
  batch = {
      "tokens": rng.integers(5, VOCAB, shape),
      "positions": np.broadcast_to(np.arange(length), shape),
      "segment_ids": np.ones(shape),
      "time_gaps": rng.integers(0, 50, shape),
  }
  return {name: jnp.asarray(x, jnp.int32) for name, x in batch.items()}


@pytest.mark.slow
@EVERY_MODEL
def test_a_causal_model_cannot_see_the_future(name):
  encode = compiled(name, **CAUSAL)
  batch = full_rows()
  changed = dict(batch, tokens=batch["tokens"].at[0, 20].set(7))
  before, after = encode(batch), encode(changed)
  np.testing.assert_array_equal(before[0, :20], after[0, :20])
  assert not np.allclose(before[0, 20:], after[0, 20:])


@pytest.mark.slow
@EVERY_MODEL
def test_a_bidirectional_model_sees_both_sides(name):
  encode = compiled(name)
  batch = full_rows()
  changed = dict(batch, tokens=batch["tokens"].at[0, 20].set(7))
  before, after = encode(batch), encode(changed)
  # The first token too, which is far away: it is global, or a layer is.
  for place in (0, 18, 22):
    assert not np.allclose(before[0, place], after[0, place], atol=1e-6)


@pytest.mark.slow
@EVERY_MODEL
def test_a_single_token_is_taken(name):
  hidden = compiled(name)(full_rows(1))
  assert hidden.shape == (ROWS, 1, 16) and np.isfinite(hidden).all()


@pytest.mark.slow
@EVERY_MODEL
def test_logits_come_at_the_asked_positions_from_the_tied_table(name):
  model = make_with_head(name)
  batch = full_rows()
  at = jnp.asarray([[3, 17]] * ROWS)
  got = nnx.jit(lambda model: logits(model(batch, at)))(model)
  assert got.shape == (ROWS, 2, VOCAB)
  hidden = nnx.jit(lambda model: model.encoder.encode(batch, at))(model)
  table = model.encoder.embed.token
  want = logits(model.head(hidden, table))
  np.testing.assert_allclose(got, want, atol=1e-5)
  table.embedding[...] = table.embedding[...] * 2
  after = logits(model.head(hidden, table))
  np.testing.assert_allclose(after, 2 * got, atol=1e-4)


def packed_rows():
  """Two rows of several segments, one with padding behind."""
  windows = windows_of([5, 9, 3, 22, 14], max_length=LENGTH)
  spec = BatchSpec(ROWS, LENGTH, max_segments=8, pack=True, prefetch=0)
  (batch,) = batches_of(windows, spec)
  return {name: jnp.asarray(batch[name]) for name in FIELDS}


ROTARY = {"position_encoding": "rotary", "norm_position": "pre"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("albert", {}),
        ("bert", ROTARY | {"time_encoding": "rotary"}),
        ("ligr", {}),
        ("longformer", {"time_encoding": "bucket+attention_bias"}),
        ("longformer", ROTARY | {"remat": "dots", "causal": True}),
        ("modern", ROTARY | {"num_layers": 2}),
        ("reformer", ROTARY),
        ("reformer", {"remat": "full", "scan_layers": True, "num_layers": 3}),
        ("reformer", {"reversible": True, "num_layers": 2, "causal": True}),
    ],
)
def test_states_at_some_places_are_those_of_all(name, options):
  """And their gradients, in packed rows, places repeated and in padding."""
  # The last layer alone computes some places.
  model = make(name, **{"num_layers": 1} | options)
  batch = packed_rows()
  at = jnp.asarray([[0, 3, 3, 17, 30], [29, 8, 1, 0, 12]])
  slopes = jnp.asarray(
      np.random.default_rng(0).standard_normal((ROWS, 5, 16)), jnp.float32
  )

  def of_all(model):
    out = model.encode(batch)[jnp.arange(ROWS)[:, None], at]
    return (out * slopes).sum(), out

  def of_some(model):
    out = model.encode(batch, offsets=at)
    return (out * slopes).sum(), out

  want, got = (
      nnx.jit(nnx.grad(run, has_aux=True))(model) for run in (of_all, of_some)
  )
  assert got[1].shape == (2, 5, 16)
  assert_close(got[1], want[1], atol=1e-5)
  for a, b in zip(*map(jax.tree.leaves, (got[0], want[0])), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@EVERY_MODEL
def test_no_layers_are_the_embeddings_at_some_places_too(name):
  encode, batch = compiled(name), packed_rows()
  at = jnp.asarray([[2, 5], [9, 0]])
  want = encode(batch, layer=0)[jnp.arange(ROWS)[:, None], at]
  got = encode(batch, at, layer=0)
  np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.slow
@EVERY_MODEL
def test_layer_gives_the_states_after_so_many_layers(name):
  encode, batch = compiled(name), full_rows()
  full = encode(batch)
  last = make_config(name).num_layers
  np.testing.assert_array_equal(encode(batch, layer=last), full)
  states = [encode(batch, layer=n) for n in range(last)] + [full]
  for a, b in zip(states, states[1:], strict=False):
    assert not np.allclose(a, b)


@pytest.mark.slow
@EVERY_MODEL
def test_dropout_is_drawn_only_when_asked(name):
  batch = full_rows()
  graphdef, state = nnx.split(make(name, dropout_rate=0.5))

  @jax.jit
  def draw(seed):
    model = nnx.merge(graphdef, state)
    rngs = nnx.Rngs(dropout=jax.random.key(seed))
    return model.encode(batch, deterministic=False, rngs=rngs)

  np.testing.assert_array_equal(draw(1), draw(1))
  assert not np.allclose(draw(1), draw(2))
  # Evaluation draws none: it equals a model without dropout.
  asked = compiled(name, dropout_rate=0.5)(batch)
  np.testing.assert_array_equal(asked, compiled(name)(batch))


@pytest.mark.slow
@EVERY_MODEL
def test_every_parameter_is_learned(name):
  model = make_with_head(name)
  batch = full_rows()
  # The first token too: the last layer's global projections are its own.
  at = jnp.asarray([[0, 3, 17, 30]] * ROWS)

  def loss(model):
    scores = jax.nn.log_softmax(logits(model(batch, at)))
    return (model.encoder.encode(batch, at) ** 2).sum() - scores[0, :, 7].sum()

  grads = nnx.jit(nnx.grad(loss))(model)
  idle = [
      jax.tree_util.keystr(path)
      for path, leaf in jax.tree_util.tree_leaves_with_path(grads)
      if not np.abs(np.asarray(leaf)).max()
  ]
  assert not idle
  assert all(
      np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(grads)
  )


def count_parameters(name, **options):
  """With the head."""
  values = dict(
      num_layers=12,
      embed_dim=768,
      num_heads=12,
      mlp_dim=3072,
      max_length=512,
      time_encoding="none",
  )
  config = ENCODERS[name][1](**values | options)
  made = nnx.eval_shape(lambda: LanguageModel(name, config, rngs=nnx.Rngs(0)))
  return sum(x.size for x in jax.tree.leaves(nnx.state(made, nnx.Param)))


POOLER = 768 * 768 + 768


def test_albert_has_as_many_parameters_as_its_paper_counts():
  # albert-base-v2: 11,683,584 with pooler and two segment types; its head
  # adds dense, norm and bias.
  head = 768 * 128 + 128 + 2 * 128 + 30_000
  want = 11_683_584 - POOLER - 2 * 128 + head
  assert count_parameters("albert", vocab_size=30_000) == want


def test_sizes_and_types_that_cannot_be_are_named():
  with pytest.raises(ValueError, match="an even head_dim.*num_heads 2 make 3"):
    make("modern", embed_dim=6)
  with pytest.raises(ValueError, match="not divisible by num_heads 0"):
    make("bert", num_heads=0)
  with pytest.raises(ValueError, match="dtype 'float16'; known are float32"):
    make("bert", dtype="float16")


@pytest.mark.parametrize("name", ["longformer", "modern"])
def test_each_layer_may_have_a_window_of_its_own(name):
  model = make(name, num_layers=4, window_size=(2, 3, 5, 7))
  windows = [layer.attention.spec.window_size for layer in model.layers]
  assert windows == {
      "longformer": [2, 3, 5, 7],
      "modern": [0, 3, 5, 0],  # every third layer sees all
  }[name]
  for windows in ((2, 3), (2, 3, 5, 7, 9)):
    with pytest.raises(ValueError, match="values for 4 layers"):
      make(name, num_layers=4, window_size=windows)


@EVERY_MODEL
@pytest.mark.skipif(jax.default_backend() == "tpu", reason="splash runs there")
def test_a_backend_that_is_asked_for_reaches_every_layer(name):
  specs = lambda backend: {
      module.spec.backend
      for _, module in nnx.iter_graph(make(name, attention_backend=backend))
      if hasattr(module, "spec")
  }
  assert specs("xla") == {"xla"} and specs("auto") == {"auto"}
  with pytest.raises(ValueError, match="'splash'"):
    make(name, attention_backend="splash").encode(full_rows())


@EVERY_MODEL
@pytest.mark.parametrize("layer", [-1, 4])
def test_a_layer_that_is_not_there_is_an_error(name, layer):
  with pytest.raises(ValueError, match=f"layer {layer}: this model has 3"):
    make(name, num_layers=3).encode(full_rows(), layer=layer)
