"""Attention by locality-sensitive hashing (Reformer), O(L log L)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from behavior_lm.attention.hashing import chunks_meet
from behavior_lm.attention.hashing import count_chunks
from behavior_lm.attention.hashing import Order
from behavior_lm.attention.hashing import sort_tokens
from behavior_lm.attention.parts import attend_part
from behavior_lm.attention.parts import join_parts
from behavior_lm.attention.parts import MASKED_BIAS

# A token sees itself only where it sees nothing else: far below any score, far
# above what is masked. The originals' number.
SELF_BIAS = -1e5
KEY_EPSILON = 1e-6


def lsh_attention(
    query_key: jax.Array,
    value: jax.Array,
    *,
    buckets: jax.Array,
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
    buckets: [batch, num_heads, rounds, length] int32 from 0, by
      `hashing.hash_vectors`.
    segment_ids: [batch, length] int32 from 0, 0 marks padding.
    chunk_size: tokens in a chunk. A row of at most so many is one chunk, which
      is attended to densely, once.
    causal: no token sees a later offset of the row.
    faithful: as the authors' code, see above; for models from there.

  Returns:
    [batch, length, num_heads, head_dim] in the type of `value`; rows of padding
    are zero.

  Raises:
    ValueError: if shapes disagree or `chunk_size` is below 1.
  """
  batch, length, heads, _ = query_key.shape
  if (
      value.shape != query_key.shape
      or segment_ids.shape != (batch, length)
      or buckets.ndim != 4
      or (*buckets.shape[:2], buckets.shape[3]) != (batch, heads, length)
  ):
    raise ValueError(
        f"shapes disagree: query_key {query_key.shape}, value {value.shape},"
        f" buckets {buckets.shape}, segment_ids {segment_ids.shape}"
    )
  if chunk_size < 1:
    raise ValueError(f"chunk_size {chunk_size} must be at least 1")
  num_chunks = count_chunks(length, chunk_size)
  if num_chunks == 1:
    # All rounds would be the same.
    buckets, chunk_size = buckets[:, :, :1], length
  padding = num_chunks * chunk_size - length
  buckets = jnp.pad(buckets, ((0, 0), (0, 0), (0, 0), (0, padding)))
  ids = jnp.pad(segment_ids, ((0, 0), (0, padding)))
  tokens = jnp.concatenate([query_key, value], -1).swapaxes(1, 2)
  tokens = jnp.pad(tokens, ((0, 0), (0, 0), (0, padding), (0, 0)))

  order = sort_tokens(buckets, ids)
  chunks = lambda x: x.reshape(*x.shape[:3], num_chunks, chunk_size, -1)
  query, value = jnp.split(chunks(_to_sorted(tokens, order)), 2, -1)
  key = _unit_length(query)
  seen = lambda x: _seen_by_chunks(x, across_rounds=faithful)
  bias = _bias(order, ids, chunks, seen, causal, faithful)
  key, value = seen(key), seen(value)
  outs, log_totals = (
      _to_row(x.reshape(*order.order.shape, -1), order)
      for x in attend_part(query, key, value, bias)
  )
  by_round = lambda x: [x[:, :, n] for n in range(x.shape[2])]
  out = join_parts(by_round(outs), by_round(log_totals)).swapaxes(1, 2)
  return jnp.where((segment_ids != 0)[:, :, None, None], out[:, :length], 0)


def _unit_length(query: jax.Array) -> jax.Array:
  """Keys: queries of length one, in float32 on the way."""
  x = query.astype(jnp.float32)
  squares = (x**2).mean(-1, keepdims=True)
  x = x * jax.lax.rsqrt(squares + KEY_EPSILON) * x.shape[-1] ** -0.5
  return x.astype(query.dtype)


def _seen_by_chunks(chunks: jax.Array, *, across_rounds: bool) -> jax.Array:
  """[..., rounds, num_chunks, chunk, width] -> each behind the one before it.

  A chunk that is alone in its round is left as it is.
  """
  *lead, rounds, num_chunks, size, width = chunks.shape
  if num_chunks == 1:
    return chunks
  before = chunks
  if across_rounds:
    before = before.reshape(*lead, rounds * num_chunks, size, width)
  before = jnp.roll(before, 1, -3).reshape(chunks.shape)
  return jnp.concatenate([before, chunks], -2)


def _bias(
    order: Order,
    segment_ids: jax.Array,
    chunks: Callable[[jax.Array], jax.Array],
    seen: Callable[[jax.Array], jax.Array],
    causal: bool,
    faithful: bool,
) -> jax.Array:
  """What is added to scores, [batch, heads, rounds, chunks, chunk, seen]."""

  def pairs(by_offset: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Of [batch, heads or 1, 1, length]: queries' [.., 1], keys' [1, ..]."""
    x = jnp.broadcast_to(by_offset, order.order.shape)
    x = chunks(jnp.take_along_axis(x, order.order, -1))
    return x, seen(x).swapaxes(-1, -2)

  queries, keys = pairs(segment_ids[:, None, None])
  mask = (queries == keys) & (queries != 0)
  queries, keys = pairs(jnp.arange(segment_ids.shape[1])[None, None, None])
  if causal:
    mask &= queries >= keys
  bias = jnp.where(queries == keys, SELF_BIAS, 0.0)
  if not faithful:
    # A pair that meets in n rounds has 1/n of its weight in each.
    chunk_numbers = order.place // mask.shape[-2]
    meetings = sum(
        chunks_meet(
            *pairs(chunk_numbers[:, :, n : n + 1]), mask.shape[-3]
        ).astype(jnp.int32)
        for n in range(order.order.shape[2])
    )
    bias -= jnp.log(jnp.asarray(meetings, jnp.float32))
  return jax.lax.optimization_barrier(jnp.where(mask, bias, MASKED_BIAS))


@jax.custom_vjp
def _to_sorted(x: jax.Array, order: Order) -> jax.Array:
  """[batch, heads, length, width] -> [batch, heads, rounds, length, width].

  Gradients of gathers are scatters, which are slow; those of a permutation are
  gathers too.
  """
  return jnp.take_along_axis(x[:, :, None], order.order[..., None], 3)


_to_sorted.defvjp(
    lambda x, order: (_to_sorted(x, order), order),
    lambda order, g: (
        jnp.take_along_axis(g, order.place[..., None], 3).sum(2),
        None,
    ),
)


@jax.custom_vjp
def _to_row(x: jax.Array, order: Order) -> jax.Array:
  """Undoes the sorting of [batch, heads, rounds, length, width]."""
  return jnp.take_along_axis(x, order.place[..., None], 3)


_to_row.defvjp(
    lambda x, order: (_to_row(x, order), order),
    lambda order, g: (jnp.take_along_axis(g, order.order[..., None], 3), None),
)
