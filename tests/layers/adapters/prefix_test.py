from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.adapters.prefix import add_prefix
from behavior_lm.layers.adapters.prefix import Prefix
from tests.layers.adapters.lora_test import batch
from tests.layers.adapters.lora_test import encode
from tests.layers.adapters.lora_test import tiny_encoder

LENGTH, HEADS, DIM = 3, 2, 4
SPECS = {
    "dense": AttentionSpec("dense"),
    "causal": AttentionSpec("dense", causal=True),
    "window": AttentionSpec("sliding_window", window_size=2),
}


@pytest.mark.parametrize("name", SPECS)
def test_each_token_attends_to_the_prefix_and_to_what_it_saw(name):
  spec = SPECS[name]
  made = Prefix(LENGTH, HEADS, DIM, rngs=nnx.Rngs(0))
  rng = np.random.default_rng(0)
  query, key, value = rng.normal(size=(3, 2, 12, HEADS, DIM))
  made.keys[...] = jnp.asarray(rng.normal(size=made.keys.shape))
  made.values[...] = jnp.asarray(rng.normal(size=made.values.shape))
  fields = batch()
  ids, positions = fields["segment_ids"], fields["positions"]
  got = jax.jit(
      lambda *qkv: made.attend(
          *qkv, segment_ids=ids, positions=positions, spec=spec
      )
  )(*map(jnp.float32, (query, key, value)))
  own_keys = np.asarray(made.keys[...])
  own_values = np.asarray(made.values[...])
  for row, at, head in np.ndindex(2, 12, HEADS):
    if not ids[row, at]:
      assert not np.asarray(got)[row, at].any()
      continue
    sees = ids[row] == ids[row, at]
    if spec.causal:
      sees &= positions[row] <= positions[row, at]
    if spec.kind == "sliding_window":
      sees &= abs(np.arange(12) - at) <= spec.window_size
    keys = np.concatenate([own_keys[:, head], key[row, sees, head]])
    values = np.concatenate([own_values[:, head], value[row, sees, head]])
    weights = np.exp(keys @ query[row, at, head] / np.sqrt(DIM))
    want = weights @ values / weights.sum()
    np.testing.assert_allclose(got[row, at, head], want, atol=1e-5)


@pytest.mark.parametrize("model, options", [
    ("bert", dict(position_encoding="rotary")),
    pytest.param("albert", {}, marks=pytest.mark.slow),
    ("modern", dict(window_size=3, position_encoding="rotary")),
])
def test_every_layer_of_an_encoder_reads_its_prefix(model, options):
  encoder = tiny_encoder(model, **options)
  plain = encode(encoder)
  some = encode(encoder, offsets=np.array([[0, 7], [0, 3]], np.int32))
  add_prefix(encoder, LENGTH, rngs=nnx.Rngs(1))
  changed = encode(encoder)
  assert abs(changed - plain).max() > 1e-3
  # The states of few tokens are those that they have among all.
  assert some.shape == (2, 2, 8)
  few = encode(encoder, offsets=np.array([[0, 7], [0, 3]], np.int32))
  np.testing.assert_allclose(few[0, 1], changed[0, 7], atol=1e-5)
  graph, state = nnx.split(encoder)

  def loss(state):
    hidden = nnx.merge(graph, state).encode(batch())
    return (hidden * jnp.cos(jnp.arange(8))).sum()

  gradient = jax.jit(jax.grad(loss))(state)
  found = {
      "/".join(map(str, path)): np.asarray(leaf)
      for path, leaf in nnx.to_flat_state(gradient)
      if "prefix" in path
  }
  assert len(found) == 2 * len(encoder.layers)
  assert all(leaf.any() for leaf in found.values())


def test_positions_may_begin_behind_the_prefix():
  shifted, moved = tiny_encoder(max_length=15), tiny_encoder(max_length=15)
  for encoder, shift in ((shifted, True), (moved, False)):
    add_prefix(encoder, LENGTH, shift=shift, rngs=nnx.Rngs(1))
  table = moved.embed.position.embedding
  table[...] = jnp.roll(table[...], -LENGTH, 0)
  read = lambda encoder: encode(encoder, layer=0)
  np.testing.assert_allclose(read(shifted), read(moved), atol=1e-6)


@pytest.mark.parametrize("model, options, words", [
    ("reformer", dict(
        attention_layers=("lsh", "local"), chunk_size=4, window_size=4
    ), "by hashing"),
    ("longformer", dict(window_size=3), "global tokens"),
])
def test_layers_that_a_prefix_does_not_fit_are_refused(model, options, words):
  with pytest.raises(ValueError, match=words):
    add_prefix(tiny_encoder(model, **options), 2, rngs=nnx.Rngs(0))


def test_an_empty_prefix_is_refused():
  with pytest.raises(ValueError, match="at least 1"):
    Prefix(0, HEADS, DIM, rngs=nnx.Rngs(0))
