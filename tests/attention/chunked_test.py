import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.chunked import chunked_attention
from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.dense import segment_mask


def mask_by_hand(ids, size, before, after, causal):
  """Which chunks are beside which, counted on a ring."""
  length = ids.shape[1]
  count = -(-length // size)
  chunk = np.arange(length) // size
  may = np.zeros((length, length), bool)
  for i, j in np.ndindex(may.shape):
    steps = [(chunk[i] + step) % count for step in range(-before, after + 1)]
    may[i, j] = chunk[j] in steps and (j <= i or not causal)
  return segment_mask(ids) & jnp.asarray(may)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("before", "after"), [(1, 0), (0, 0), (1, 1), (2, 1)])
@pytest.mark.parametrize(("length", "size"), [(1, 4), (8, 4), (23, 4), (7, 9)])
def test_chunks_equal_dense_attention_under_their_mask(
    length, size, before, after, causal
):
  rng = np.random.default_rng(length)
  qkv = jnp.asarray(rng.standard_normal((3, 2, length, 2, 4)), jnp.float32)
  ids = np.ones((2, length), np.int32)
  ids[1, length // 2 :] = 2
  ids[1, length - length // 4 :] = 0
  ids = jnp.asarray(ids)
  mask = mask_by_hand(ids, size, before, after, causal)
  cotangent = jnp.asarray(rng.standard_normal(qkv.shape[1:]), jnp.float32)

  @jax.jit
  def both(qkv):
    got, pull = jax.vjp(
        lambda *x: chunked_attention(
            *x,
            segment_ids=ids,
            chunk_size=size,
            chunks_before=before,
            chunks_after=after,
            causal=causal,
        ),
        *qkv,
    )
    want, pull_dense = jax.vjp(lambda *x: dense_attention(*x, mask=mask), *qkv)
    return (got, *pull(cotangent)), (want, *pull_dense(cotangent))

  for got, want in zip(*both(qkv), strict=True):
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize(
    "wrong", [dict(chunk_size=0), dict(chunk_size=2, chunks_after=-1)]
)
def test_a_number_that_is_too_small_is_an_error(wrong):
  x = jnp.zeros((1, 4, 1, 2))
  with pytest.raises(ValueError, match="must be at least"):
    chunked_attention(x, x, x, segment_ids=jnp.ones((1, 4), int), **wrong)
