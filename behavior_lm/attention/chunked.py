"""Attention within chunks of a row and the chunk before."""

import jax
import jax.numpy as jnp

from behavior_lm.attention.hashing import count_chunks
from behavior_lm.attention.tiles import attend_tiles
from behavior_lm.attention.tiles import mask_bias


def chunked_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    chunk_size: int,
    causal: bool = False,
) -> jax.Array:
  """Each chunk of a row attends to itself and to the one before.

  The local layers of Reformer's code (arXiv 2001.04451), for weights from
  there: a sliding window gives every token the same reach, a chunk gives its
  first token less than its last. As there, the row is a ring: the chunk before
  the first is the last. Unlike there, a query sees only keys of its own
  segment. Equal to dense attention under `masks.chunk_mask`.

  Args:
    query, key, value: [batch, length, num_heads, head_dim], any length.
    segment_ids: [batch, length] int32 from 0, 0 marks padding.
    chunk_size: tokens in a chunk; a row of at most so many is one chunk.
    causal: no token sees a later offset of the row.

  Returns:
    [batch, length, num_heads, head_dim] in the type of `value`; rows of padding
    are zero.

  Raises:
    ValueError: if shapes disagree or `chunk_size` is below 1.
  """
  length = query.shape[1]
  if not query.shape == key.shape == value.shape or (
      query.shape[:2] != segment_ids.shape
  ):
    raise ValueError(
        f"shapes disagree: query {query.shape}, key {key.shape}, value"
        f" {value.shape}, segment_ids {segment_ids.shape}"
    )
  if chunk_size < 1:
    raise ValueError(f"chunk_size {chunk_size} must be at least 1")
  if length == 0:
    return value
  num_chunks = count_chunks(length, chunk_size)
  if num_chunks == 1:
    chunk_size = length
  padding = num_chunks * chunk_size - length

  def chunks(x: jax.Array) -> jax.Array:
    """[batch, length, n, width] -> [batch, chunks, n, chunk, width]."""
    x = jnp.pad(x, ((0, 0), (0, padding), (0, 0), (0, 0)))
    x = x.reshape(len(x), num_chunks, chunk_size, *x.shape[2:])
    return x.swapaxes(2, 3)

  def seen(x: jax.Array) -> jax.Array:
    """Each chunk behind the one before it."""
    if num_chunks == 1:
      return x
    return jnp.concatenate([jnp.roll(x, 1, 1), x], 3)

  ids = chunks(segment_ids[:, :, None, None])
  mask = (ids.swapaxes(-1, -2) == seen(ids)) & (seen(ids) != 0)
  if causal:
    offsets = chunks(jnp.arange(length)[None, :, None, None])
    mask &= offsets.swapaxes(-1, -2) >= seen(offsets)
  tiles = lambda x: x.reshape(-1, *x.shape[2:])
  out = attend_tiles(
      mask_bias,
      len(query),
      tiles(chunks(query * query.shape[-1] ** -0.5)),
      tiles(seen(chunks(key))),
      tiles(seen(chunks(value))),
      tiles(mask),
  )
  out = out.reshape(len(query), num_chunks, *out.shape[1:]).swapaxes(2, 3)
  out = out.reshape(len(query), -1, *query.shape[2:])
  return jnp.where((segment_ids != 0)[:, :, None, None], out[:, :length], 0)
