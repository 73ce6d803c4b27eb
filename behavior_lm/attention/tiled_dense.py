"""Dense attention within segments, by tiles: quadratic time, linear memory."""

import jax
import jax.numpy as jnp

from behavior_lm.attention.tiles import attend_tiles
from behavior_lm.attention.tiles import causal_bias
from behavior_lm.attention.tiles import MakeBias
from behavior_lm.attention.tiles import SCORES_AT_ONCE
from behavior_lm.attention.tiles import segment_bias
from behavior_lm.attention.tiles import since_bias
from behavior_lm.common.rows import take_rows

# Products of fewer queries are too small to be fast.
MIN_QUERIES = 128


def tiled_dense_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    positions: jax.Array,
    causal: bool = False,
    query_at: jax.Array | None = None,
    since: jax.Array | None = None,
) -> jax.Array:
  """`dense_attention` under `segment_mask`, a tile of queries at a time.

  Args:
    query: [batch, length, num_heads, head_dim], or [batch, n, ...] with
      `query_at`.
    key, value: [batch, length, num_heads, head_dim].
    segment_ids: [batch, length] int32, 0 marks padding.
    positions: [batch, length] int32 within the segment.
    causal: a query sees no key after its own position.
    query_at: [batch, n] row offsets of the queries; None is all, in order.
    since: [batch, length] int32, for causal attention: a query sees no key
      before this position; None is all.

  Returns:
    The shape of `query` in the type of `value`; rows of padding are zero.

  Raises:
    ValueError: if the shapes disagree.
  """
  asked = segment_ids if query_at is None else query_at
  if not (
      query.shape[2:] == key.shape[2:]
      and query.shape[:2] == asked.shape
      and key.shape == value.shape
      and key.shape[:2] == segment_ids.shape == positions.shape
      and len(query) == len(key)
  ):
    raise ValueError(
        f"shapes disagree: query {query.shape}, key {key.shape}, value"
        f" {value.shape}, segment_ids {segment_ids.shape}, positions"
        f" {positions.shape}"
        + ("" if query_at is None else f", query_at {query_at.shape}")
    )
  batch, length, heads, head_dim = query.shape
  if length == 0:
    return jnp.zeros(query.shape, value.dtype)
  size = _queries_at_once(length, key.shape[1], heads)
  tiles = -(-length // size)

  def by_tile(x: jax.Array) -> jax.Array:
    """[batch, length, heads, width] -> [batch * tiles, heads, size, width]."""
    pads = ((0, 0), (0, tiles * size - length), (0, 0), (0, 0))
    x = jnp.pad(x, pads).reshape(batch, tiles, size, *x.shape[2:])
    return x.swapaxes(2, 3).reshape(batch * tiles, x.shape[3], size, -1)

  fields = [segment_ids, positions] if causal else [segment_ids]
  theirs = fields
  if query_at is not None:
    theirs = [take_rows(x, query_at) for x in fields]
  of_queries = [by_tile(x[:, :, None, None]).swapaxes(2, 3) for x in theirs]
  of_keys = [x[:, None, :, None] for x in fields]
  pairs = zip(of_queries, of_keys, strict=True)
  bias: MakeBias = causal_bias if causal else segment_bias
  more = []
  if since is not None:
    bias = since_bias
    asked_since = since if query_at is None else take_rows(since, query_at)
    more = [by_tile(asked_since[:, :, None, None]).swapaxes(2, 3)]
  out = attend_tiles(
      bias,
      batch,
      by_tile(query * head_dim**-0.5),
      key.swapaxes(1, 2),
      value.swapaxes(1, 2),
      *(x for pair in pairs for x in pair),
      *more,
  )
  out = out.reshape(batch, tiles, heads, size, head_dim).swapaxes(2, 3)
  out = out.reshape(batch, tiles * size, heads, head_dim)[:, :length]
  return jnp.where((theirs[0] != 0)[:, :, None, None], out, 0)


def _queries_at_once(queries: int, keys: int, heads: int) -> int:
  """Queries of a tile: a row in equal parts, as even as may be."""
  wanted = max(MIN_QUERIES, SCORES_AT_ONCE // (heads * keys))
  parts = -(-queries // wanted)
  return -(-queries // parts)
