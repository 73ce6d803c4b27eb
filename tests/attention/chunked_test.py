import functools

import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.chunked import chunked_attention
from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.masks import chunk_mask
from tests.attention.comparing import assert_close
from tests.attention.comparing import draw
from tests.attention.comparing import values_and_gradients


def packed_ids(length):
  ids = np.ones((2, length), np.int32)
  ids[1, length // 2 :] = 2
  ids[1, length - length // 4 :] = 0
  return jnp.asarray(ids)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("length", "size"), [(1, 4), (8, 4), (23, 4), (7, 9)])
def test_the_mask_is_that_of_chunks_counted_by_hand(length, size, causal):
  ids = packed_ids(length)
  count = -(-length // size)
  chunk = np.arange(length) // size
  may = np.zeros((length, length), bool)
  for i, j in np.ndindex(may.shape):
    may[i, j] = chunk[j] in (chunk[i], (chunk[i] - 1) % count)
    may[i, j] &= j <= i or not causal
  want = segment_mask(ids) & jnp.asarray(may)
  np.testing.assert_array_equal(chunk_mask(ids, size, causal=causal), want)


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("length", "size"), [(1, 4), (8, 4), (23, 4), (7, 9)])
def test_chunks_equal_dense_attention_under_their_mask(length, size, causal):
  ids = packed_ids(length)
  rng = np.random.default_rng(length)
  qkv = [draw(rng, 2, length, 2, 4) for _ in range(3)]
  kernel = functools.partial(
      chunked_attention, segment_ids=ids, chunk_size=size, causal=causal
  )
  oracle = functools.partial(
      dense_attention, mask=chunk_mask(ids, size, causal=causal)
  )
  assert_close(
      values_and_gradients(kernel, *qkv),
      values_and_gradients(oracle, *qkv),
      1e-5,
  )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(chunk_size=0), "must be at least 1"),
        (dict(segment_ids=jnp.ones((1, 3), int)), "shapes disagree"),
    ],
)
def test_what_cannot_be_is_an_error(wrong, message):
  x = jnp.zeros((1, 4, 1, 2))
  right = dict(segment_ids=jnp.ones((1, 4), int), chunk_size=2)
  with pytest.raises(ValueError, match=message):
    chunked_attention(x, x, x, **(right | wrong))
