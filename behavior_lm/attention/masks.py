"""What each kernel lets a query see, as dense masks.

Quadratic in the length: for oracles in tests and for pictures. All masks are
[batch, heads or 1, length, length] bool, True where a query (row) sees a key
(column), and never cross a segment or touch padding.
"""

import jax
import jax.numpy as jnp

from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.hashing import chunks_meet
from behavior_lm.attention.hashing import count_chunks
from behavior_lm.attention.hashing import sort_tokens


def window_mask(
    segment_ids: jax.Array,
    window_size: int,
    *,
    dilation: int = 1,
    causal: bool = False,
) -> jax.Array:
  """Keys at most `window_size` steps of `dilation` offsets away.

  Args:
    segment_ids: [batch, length] int32, 0 marks padding.
    window_size: keys on each side.
    dilation: offsets from one key of the window to the next.
    causal: only keys at or before the query.
  """
  steps = _distances(segment_ids)
  near = (steps % dilation == 0) & (abs(steps) <= window_size * dilation)
  if causal:
    near &= steps >= 0
  return segment_mask(segment_ids) & near


def global_mask(
    segment_ids: jax.Array, global_tokens: jax.Array, *, causal: bool = False
) -> jax.Array:
  """Pairs of which at least one is a global token.

  Args:
    segment_ids: [batch, length] int32, 0 marks padding.
    global_tokens: [batch, length] bool.
    causal: only keys at or before the query.
  """
  mask = global_tokens[:, None, :, None] | global_tokens[:, None, None, :]
  mask &= segment_mask(segment_ids)
  return mask & (_distances(segment_ids) >= 0) if causal else mask


def bucket_mask(
    buckets: jax.Array,
    segment_ids: jax.Array,
    *,
    chunk_size: int,
    causal: bool = False,
) -> jax.Array:
  """Pairs that share a chunk, or neighbouring chunks, in any round of hashing.

  A token does not see itself, unless it sees nothing else.

  Args:
    buckets: [batch, heads, rounds, length] int32.
    segment_ids: [batch, length] int32, 0 marks padding.
    chunk_size: tokens in a chunk.
    causal: only keys at or before the query.
  """
  num_chunks = count_chunks(segment_ids.shape[1], chunk_size)
  numbers = sort_tokens(buckets, segment_ids).place // chunk_size
  met = chunks_meet(numbers[..., :, None], numbers[..., None, :], num_chunks)
  may = segment_mask(segment_ids)
  if causal:
    may &= _distances(segment_ids) >= 0
  itself = _distances(segment_ids) == 0
  mask = met.any(2) & may & ~itself
  alone = ~mask.any(-1, keepdims=True)
  return mask | (alone & itself & may)


def chunk_mask(
    segment_ids: jax.Array, chunk_size: int, *, causal: bool = False
) -> jax.Array:
  """Pairs in one chunk of a row, or with the key in the chunk before.

  The row is a ring: before the first chunk comes the last.

  Args:
    segment_ids: [batch, length] int32, 0 marks padding.
    chunk_size: tokens in a chunk.
    causal: only keys at or before the query.
  """
  length = segment_ids.shape[1]
  numbers = jnp.arange(length) // chunk_size
  mask = segment_mask(segment_ids) & chunks_meet(
      numbers[:, None], numbers, count_chunks(length, chunk_size)
  )
  return mask & (_distances(segment_ids) >= 0) if causal else mask


def _distances(segment_ids: jax.Array) -> jax.Array:
  """How far left of its query a key stands, [length, length]."""
  offsets = jnp.arange(segment_ids.shape[1])
  return offsets[:, None] - offsets
