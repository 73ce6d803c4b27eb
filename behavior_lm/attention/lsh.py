"""Attention by locality-sensitive hashing (Reformer), O(L log L)."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from behavior_lm.attention.chunk_plan import ChunkPlan
from behavior_lm.attention.chunk_plan import few_chunks_at_once
from behavior_lm.attention.chunk_plan import make_plan
from behavior_lm.attention.chunk_plan import sum_seen
from behavior_lm.attention.chunk_plan import take
from behavior_lm.attention.chunk_plan import to_row
from behavior_lm.attention.hashing import chunks_meet
from behavior_lm.attention.hashing import count_chunks
from behavior_lm.attention.hashing import Order
from behavior_lm.attention.hashing import sort_tokens
from behavior_lm.attention.tiles import Arrays
from behavior_lm.attention.tiles import attend_tile
from behavior_lm.attention.tiles import join_parts
from behavior_lm.attention.tiles import MASKED_BIAS
from behavior_lm.attention.tiles import shared_slope
from behavior_lm.attention.tiles import tile_gradients

# A token sees itself only where it sees nothing else: far below any score, far
# above what is masked. The originals' number.
SELF_BIAS = -1e5
KEY_EPSILON = 1e-6


def lsh_attention(
    query_key: jax.Array,
    value: jax.Array,
    *,
    order: Order,
    segment_ids: jax.Array,
    chunk_size: int,
    causal: bool = False,
    faithful: bool = False,
) -> jax.Array:
  """Attends to the keys that hashing puts into the same or the next chunk.

  Reformer (arXiv 2001.04451): queries are keys, keys have length one, and the
  scores are not divided by sqrt(head_dim), as in the authors' code. In each
  round tokens are sorted by bucket and cut into chunks, which attend to
  themselves and one chunk back; rounds are joined by their softmax
  denominators. A token sees itself only if it sees nothing else. Equal to
  dense attention under `masks.bucket_mask`.

  Unlike the paper, rows are packed: tokens are sorted within their segment and
  never see another. Unlike the authors' code and transformers', unless
  `faithful`: the first chunk of a round looks back at the last of the same
  round, not of the round before, and a pair that meets in several rounds
  counts once, as in the paper's formula, not several times.

  Args:
    query_key: [batch, length, num_heads, head_dim], any length.
    value: the same shape.
    order: of each round, by `sort_into_chunks`; takes no gradient.
    segment_ids: [batch, length] int32 from 0, 0 marks padding.
    chunk_size: tokens in a chunk, as for the order. A row of at most so many is
      one chunk, which is attended to densely, once.
    causal: no token sees a later offset of the row; but where later tokens
      are sorted decides which earlier ones share its chunks.
    faithful: as the authors' code, see above; for models from there.

  Returns:
    [batch, length, num_heads, head_dim] in the type of `value`; rows of padding
    are zero.

  Raises:
    ValueError: if shapes disagree or `chunk_size` is below 1.
  """
  batch, length, heads, _ = query_key.shape
  if length == 0:
    return value
  num_chunks = _count_chunks(length, chunk_size)
  whole = length if num_chunks == 1 else num_chunks * chunk_size
  if (
      value.shape != query_key.shape
      or segment_ids.shape != (batch, length)
      or order.order.ndim != 4
      or (*order.order.shape[:2], order.order.shape[3]) != (batch, heads, whole)
      or order.place.shape != order.order.shape
  ):
    raise ValueError(
        f"shapes disagree: query_key {query_key.shape}, value {value.shape},"
        f" order {order.order.shape}, segment_ids {segment_ids.shape};"
        f" chunk_size {chunk_size}"
    )
  padding = whole - length
  rows = lambda x: jnp.pad(
      x.swapaxes(1, 2), ((0, 0), (0, 0), (0, padding), (0, 0))
  )
  ids = jnp.pad(segment_ids, ((0, 0), (0, padding)))
  plan = make_plan(order, num_chunks, across_rounds=faithful)
  query, value = rows(query_key), rows(value)
  outs, log_totals = _attend_chunks(
      causal,
      query,
      # Normed before they are sorted: a row has fewer keys than its rounds see.
      _unit_length(query),
      value,
      plan,
      _describe(order, ids, num_chunks, count_meetings=not faithful),
  )
  outs = to_row(outs, plan)
  log_totals = to_row(log_totals[..., None], plan)[..., 0]
  by_round = lambda x: [x[:, :, n] for n in range(x.shape[2])]
  out = join_parts(by_round(outs), by_round(log_totals)).swapaxes(1, 2)
  return jnp.where((segment_ids != 0)[:, :, None, None], out[:, :length], 0)


def sort_into_chunks(
    buckets: jax.Array, segment_ids: jax.Array, chunk_size: int
) -> Order:
  """The order of each round, with padding up to whole chunks.

  Args:
    buckets: [batch, num_heads, rounds, length] int32 from 0, by
      `hashing.hash_vectors`.
    segment_ids: [batch, length] int32, 0 marks padding.
    chunk_size: tokens in a chunk. A row of at most so many is one chunk, for
      which all rounds are the same: the order then has one.

  Raises:
    ValueError: if shapes disagree or `chunk_size` is below 1.
  """
  length = segment_ids.shape[1]
  if buckets.ndim != 4 or (len(buckets), buckets.shape[3]) != segment_ids.shape:
    raise ValueError(
        f"shapes disagree: buckets {buckets.shape}, segment_ids"
        f" {segment_ids.shape}"
    )
  num_chunks = _count_chunks(length, chunk_size)
  if num_chunks == 1:
    return sort_tokens(buckets[:, :, :1], segment_ids)
  padding = num_chunks * chunk_size - length
  return sort_tokens(
      jnp.pad(buckets, ((0, 0), (0, 0), (0, 0), (0, padding))),
      jnp.pad(segment_ids, ((0, 0), (0, padding))),
  )


def _count_chunks(length: int, chunk_size: int) -> int:
  if chunk_size < 1:
    raise ValueError(f"chunk_size {chunk_size} must be at least 1")
  return count_chunks(length, chunk_size)


def _unit_length(query: jax.Array) -> jax.Array:
  """Keys: queries of length one, in float32 on the way."""
  x = query.astype(jnp.float32)
  squares = (x**2).mean(-1, keepdims=True)
  x = x * jax.lax.rsqrt(squares + KEY_EPSILON) * x.shape[-1] ** -0.5
  return x.astype(query.dtype)


def _describe(
    order: Order,
    segment_ids: jax.Array,
    num_chunks: int,
    *,
    count_meetings: bool,
) -> jax.Array:
  """Of each token its segment and, to count meetings, its chunk in each round.

  Returns:
    [batch, heads, length, 1 or 1 + rounds] int32.
  """
  lead = order.place.shape[:2]
  columns = jnp.broadcast_to(
      segment_ids[:, None, :, None], (*lead, segment_ids.shape[1], 1)
  )
  if not count_meetings or order.place.shape[2] == 1:
    return columns
  chunks = order.place // (order.place.shape[-1] // num_chunks)
  return jnp.concatenate([columns, chunks.swapaxes(2, 3)], -1)


def _bias(
    queries: jax.Array,
    seen: jax.Array,
    tokens: jax.Array,
    num_chunks: int,
    causal: bool,
) -> jax.Array:
  """What is added to scores, [batch, heads, rounds, chunks, keys, chunk].

  Args:
    queries, seen: as in `ChunkPlan`, of some chunks.
    tokens: see `_describe`.
    num_chunks: of a row.
    causal: no key after the query.
  """
  of_queries, of_keys = take(tokens, queries), take(tokens, seen)
  across = lambda queries, keys: (
      queries[..., None, :],
      keys[..., None],
  )
  pair = lambda n: across(of_queries[..., n], of_keys[..., n])
  ids, key_ids = pair(0)
  mask = (ids == key_ids) & (ids != 0)
  offsets, key_offsets = across(queries, seen)
  if causal:
    mask &= offsets >= key_offsets
  bias = jnp.where(offsets == key_offsets, SELF_BIAS, 0.0)
  rounds = tokens.shape[-1] - 1
  if rounds:
    # A pair that meets in n rounds has 1/n of its weight in each.
    meetings = sum(
        chunks_meet(*pair(n + 1), num_chunks).astype(jnp.int32)
        for n in range(rounds)
    )
    for n in range(1, rounds):
      bias -= jnp.where(meetings > n, math.log((n + 1) / n), 0.0)
  return jax.lax.optimization_barrier(jnp.where(mask, bias, MASKED_BIAS))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _attend_chunks(
    causal: bool,
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    plan: ChunkPlan,
    tokens: jax.Array,
) -> tuple[jax.Array, jax.Array]:
  """`attend_tile` over all chunks of all rounds, taken from rows.

  A few chunks at once are gathered, attended to and dropped: neither what a
  round sees nor its bias exists as a whole, whose memory would cost more time
  than the products.

  Args:
    causal: no key after the query.
    query, key, value: [batch, heads, length, head_dim].
    plan: chunks.
    tokens: see `_describe`.

  Returns:
    [batch, heads, rounds, chunks, chunk, head_dim], and without the last axis
    the float32 logarithms of the softmax denominators.
  """
  return _forward(causal, query, key, value, plan, tokens)[0]


def _forward(
    causal: bool,
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    plan: ChunkPlan,
    tokens: jax.Array,
) -> tuple[tuple[jax.Array, jax.Array], Any]:
  num_chunks = plan.queries.shape[3]

  def run(queries: jax.Array, seen: jax.Array) -> Arrays:
    bias = _bias(queries, seen, tokens, num_chunks, causal)
    taken = take(query, queries), take(key, seen), take(value, seen)
    return attend_tile(bias, *taken)

  out, log_total = few_chunks_at_once(run, plan)
  return (out, log_total), (query, key, value, plan, tokens, out, log_total)


def _backward(
    causal: bool, kept: Any, cotangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array, jax.Array, None, None]:
  query, key, value, plan, tokens, out, log_total = kept
  d_out, d_log_total = cotangents
  num_chunks = plan.queries.shape[3]
  shared = shared_slope(out, d_out) - d_log_total

  def run(
      queries: jax.Array,
      seen: jax.Array,
      log_total: jax.Array,
      d_out: jax.Array,
      shared: jax.Array,
  ) -> Arrays:
    bias = _bias(queries, seen, tokens, num_chunks, causal)
    taken = take(query, queries), take(key, seen), take(value, seen)
    d_query, d_key, d_value = tile_gradients(
        bias, *taken, log_total, d_out, shared
    )
    d_seen = jnp.concatenate([d_key, d_value], -1).astype(query.dtype)
    return d_query.astype(query.dtype), d_seen

  d_query, d_seen = few_chunks_at_once(
      run, plan, log_total, d_out, shared
  )
  d_key, d_value = jnp.split(sum_seen(d_seen, plan), 2, -1)
  return to_row(d_query, plan).sum(2), d_key, d_value, None, None


_attend_chunks.defvjp(_forward, _backward)
