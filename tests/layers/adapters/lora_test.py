from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.layers.adapters.lora import add_lora
from behavior_lm.layers.adapters.lora import LoraLinear
from behavior_lm.layers.adapters.lora import merge_lora
from behavior_lm.layers.adapters.lora import set_dropout_keys
from behavior_lm.layers.linear import Linear
from behavior_lm.models.encoders import ENCODERS

INPUTS, OUTPUTS, RANK, ALPHA = 6, 10, 3, 12.0


def make(dropout_rate=0.0, use_bias=True):
  """A layer whose B is not 0 any more."""
  rngs = nnx.Rngs(0)
  base = Linear(
      INPUTS, OUTPUTS, use_bias=use_bias, dtype=jnp.dtype("float32"), rngs=rngs
  )
  made = LoraLinear(
      base, RANK, alpha=ALPHA, dropout_rate=dropout_rate, rngs=rngs
  )
  made.lora_b[...] = jax.random.normal(jax.random.key(1), (RANK, OUTPUTS))
  return base, made


@pytest.fixture(scope="module")
def x():
  return np.random.default_rng(0).normal(size=(5, INPUTS)).astype(np.float32)


@pytest.mark.slow
def test_the_output_is_that_of_the_formula(x):
  base, made = make()
  low = x @ np.asarray(made.lora_a[...]) @ np.asarray(made.lora_b[...])
  want = x @ np.asarray(base.kernel[...]) + np.asarray(base.bias[...])
  want = want + ALPHA / RANK * low
  np.testing.assert_allclose(made(x), want, atol=1e-5)
  part = made.some(x, slice(2, 7))
  np.testing.assert_allclose(part, want[:, 2:7], atol=1e-5)


def test_nothing_changes_at_first(x):
  base = make()[0]
  made = LoraLinear(base, RANK, alpha=ALPHA, rngs=nnx.Rngs(3))
  np.testing.assert_array_equal(made(x), base(x))
  a = np.asarray(made.lora_a[...])
  assert a.any() and abs(a).max() <= INPUTS**-0.5


@pytest.mark.parametrize("use_bias", [True, False])
def test_merging_gives_the_same_output(x, use_bias):
  _, made = make(use_bias=use_bias)
  plain = made.merge()
  assert type(plain) is Linear
  np.testing.assert_allclose(plain(x), made(x), atol=1e-5)


def test_dropout_reaches_the_update_alone(x):
  base, made = make(dropout_rate=0.5)
  without = np.asarray(made(x))
  made.dropout_key = nnx.data(jax.random.key(0))
  dropped = np.asarray(made(x))
  assert abs(dropped - without).max() > 0.1
  made.lora_b[...] = jnp.zeros((RANK, OUTPUTS))
  np.testing.assert_array_equal(made(x), base(x))


@pytest.mark.parametrize("rank", [0, 7])
def test_a_rank_that_does_not_fit_is_refused(rank):
  with pytest.raises(ValueError, match="6 inputs and 10 outputs"):
    LoraLinear(make()[0], rank, alpha=1.0, rngs=nnx.Rngs(0))


def tiny_encoder(name="bert", **options):
  model, config = ENCODERS[name]
  values = dict(
      vocab_size=20, num_layers=2, embed_dim=8, num_heads=2, mlp_dim=16,
      max_length=12, max_segments=2, dropout_rate=0.0,
  )  # fmt: skip
  return model(config(**(values | options)), rngs=nnx.Rngs(0))


def batch():
  rng = np.random.default_rng(0)
  ids = np.array([[1] * 7 + [2] * 5, [1] * 9 + [0] * 3], np.int32)
  positions = np.array([[*range(7), *range(5)], [*range(9), 0, 0, 0]])
  return {
      "tokens": rng.integers(5, 20, (2, 12)).astype(np.int32),
      "segment_ids": ids,
      "positions": positions.astype(np.int32),
      "time_gaps": rng.integers(0, 50, (2, 12)).astype(np.int32),
  }


def encode(encoder, **options):
  graph, state = nnx.split(encoder)
  run = lambda state: nnx.merge(graph, state).encode(batch(), **options)
  return np.asarray(jax.jit(run)(state))


@pytest.mark.parametrize(
    "scan", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_a_merged_encoder_gives_the_same_states(scan):
  encoder = tiny_encoder(scan_layers=scan)
  plain = encode(encoder)
  add_lora(encoder, "qkv|mlp", 2, alpha=4.0, dropout_rate=0.1, rngs=nnx.Rngs(1))
  np.testing.assert_allclose(encode(encoder), plain, atol=1e-6)
  for layer in encoder.layers:
    for part in (layer.attention.qkv, layer.mlp_in, layer.mlp_out):
      part.lora_b[...] = 0.3 * jnp.ones(part.lora_b.shape)
  assert not isinstance(encoder.layers[0].attention.out, LoraLinear)
  changed = encode(encoder)
  assert abs(changed - plain).max() > 0.01
  structure = jax.tree.structure(nnx.state(encoder))
  set_dropout_keys(encoder, jax.random.key(0))
  assert abs(encode(encoder) - changed).max() > 1e-3
  set_dropout_keys(encoder, None)
  assert jax.tree.structure(nnx.state(encoder)) == structure
  merge_lora(encoder)
  np.testing.assert_allclose(encode(encoder), changed, atol=1e-5)
  names = str([path for path, _ in nnx.to_flat_state(nnx.state(encoder))])
  assert "kernel" in names and "lora" not in names


@pytest.mark.slow
def test_parts_of_a_fused_layer_have_updates_of_their_own(x):
  rngs = nnx.Rngs(0)
  base = Linear(INPUTS, 9, dtype=jnp.dtype("float32"), rngs=rngs)
  made = LoraLinear(base, 2, alpha=4.0, parts=((0, 3), (2, 3)), rngs=rngs)
  assert (made.lora_a.shape, made.lora_b.shape) == ((INPUTS, 4), (4, 3))
  np.testing.assert_array_equal(made(x), base(x))
  made.lora_b[...] = jax.random.normal(jax.random.key(1), (4, 3))
  a, b = np.asarray(made.lora_a[...]), np.asarray(made.lora_b[...])
  want = np.array(base(x))
  want[:, :3] += 2 * (x @ a[:, :2]) @ b[:2]
  want[:, 6:] += 2 * (x @ a[:, 2:]) @ b[2:]
  np.testing.assert_allclose(made(x), want, atol=1e-5)
  np.testing.assert_allclose(
      made.some(x, slice(2, 8)), want[:, 2:8], atol=1e-5
  )
  np.testing.assert_allclose(made.merge()(x), want, atol=1e-5)
  with pytest.raises(ValueError, match="6 inputs and 3 outputs"):
    LoraLinear(base, 4, alpha=1.0, parts=((0, 3),), rngs=rngs)


def test_query_and_value_are_targets():
  encoder = tiny_encoder()
  add_lora(encoder, "query|value", 2, alpha=4.0, rngs=nnx.Rngs(0))
  qkv = encoder.layers[0].attention.qkv
  assert qkv.parts == ((0, 3), (2, 3))
  assert not isinstance(encoder.layers[0].mlp_in, LoraLinear)


def test_targets_without_a_layer_are_refused():
  with pytest.raises(
      ValueError, match="there are key, mlp_in, mlp_out, out, qkv, query, value"
  ):
    add_lora(tiny_encoder(), "gate", 2, alpha=4.0, rngs=nnx.Rngs(0))
