from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.backends import attend
from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.lsh_attention import LshSelfAttention
from tests.attention.comparing import hash_order

LENGTH, WIDTH, HEADS = 40, 16, 2
ROW = dict(
    segment_ids=jnp.asarray([[1] * 25 + [2] * 12 + [0] * 3]),
    positions=jnp.asarray([[*range(25), *range(12), 0, 0, 0]]),
)


def make(rotary=False, dtype=jnp.float32, **options):
  spec = AttentionSpec("lsh", chunk_size=8, **options)
  return LshSelfAttention(
      WIDTH, HEADS, spec, rotary=rotary, dtype=dtype, rngs=nnx.Rngs(0)
  )


def hidden_states():
  return jax.random.normal(jax.random.key(1), (1, LENGTH, WIDTH))


@pytest.mark.slow
@pytest.mark.parametrize("num_buckets", [None, (2, 4)])
def test_it_is_the_kernel_between_its_projections(num_buckets):
  layer = make(num_hashes=3, num_buckets=num_buckets)
  hidden, key = hidden_states(), jax.random.key(2)
  got, _ = layer(hidden, rotations=layer.draw_rotations(key, LENGTH), **ROW)
  query, value = jnp.split(layer.query_value(hidden), 2, -1)
  heads = lambda x: x.reshape(1, LENGTH, HEADS, -1)
  order = hash_order(layer.spec, heads(query), ROW["segment_ids"], seed=2)
  mixed = attend(
      heads(query), None, heads(value), spec=layer.spec, order=order, **ROW
  )
  want = layer.out(mixed.reshape(hidden.shape))
  np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.slow
def test_an_order_is_followed_whatever_the_rotations():
  layer = make()
  hidden = hidden_states()
  draw = lambda seed: layer.draw_rotations(jax.random.key(seed), LENGTH)
  want, order = layer(hidden, rotations=draw(2), **ROW)
  other, _ = layer(hidden, rotations=draw(3), **ROW)
  got, same = layer(hidden, rotations=draw(3), order=order, **ROW)
  np.testing.assert_array_equal(got, want)
  np.testing.assert_array_equal(same.order, order.order)
  assert np.abs(other - want).max() > 1e-3


def test_rotary_positions_change_what_is_seen():
  hidden = hidden_states()
  out = {}
  for rotary in (False, True):
    layer = make(rotary)
    rotations = layer.draw_rotations(jax.random.key(2), LENGTH)
    out[rotary], _ = layer(hidden, rotations=rotations, **ROW)
  assert np.abs(out[True] - out[False]).max() > 1e-3


def test_heads_must_divide_the_width():
  with pytest.raises(ValueError, match="not divisible"):
    LshSelfAttention(
        15, 2, AttentionSpec("lsh"), dtype=jnp.float32, rngs=nnx.Rngs(0)
    )


def test_a_backend_that_cannot_hash_is_refused():
  layer = make(backend="splash")
  rotations = layer.draw_rotations(jax.random.key(2), LENGTH)
  with pytest.raises(ValueError, match="no backend 'splash' for attention"):
    layer(hidden_states(), rotations=rotations, **ROW)
