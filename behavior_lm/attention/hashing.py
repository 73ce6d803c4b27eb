"""Angular hashing of vectors into buckets, and the chunks sorted from them.

Reformer (arXiv 2001.04451), section 2: vectors that point the same way likely
share a bucket. Sorted by bucket and cut into chunks of one size, a token's
chunk and the one before hold most of the keys that matter to it.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

# Up to here one rotation names the bucket; beyond, two name it by row and
# column, or hashing would cost more than attending.
MAX_PLAIN_BUCKETS = 128

Buckets = int | tuple[int, int]

# Of rotations where no random key is given, so at evaluation: the same in
# every call.
FIXED_SEED = 0


class Order(NamedTuple):
  """How each round of hashing sorts the tokens of a row.

  Attributes:
    order: [batch, heads, rounds, length] int32, the offset at each place.
    place: the same shape, the place of each offset.
  """

  order: jax.Array
  place: jax.Array


def default_buckets(length: int, chunk_size: int) -> Buckets:
  """Buckets for a row: half a chunk of tokens in each, a power of two.

  As in the paper's experiments the number grows with the length, so that a
  bucket keeps its size.
  """
  wanted = max(2, 2 * length // chunk_size)
  exponent = wanted.bit_length() - 1
  if 2**exponent <= MAX_PLAIN_BUCKETS:
    return 2**exponent
  return 2 ** (exponent // 2), 2 ** (exponent - exponent // 2)


def check_buckets(num_buckets: Buckets) -> tuple[int, ...]:
  """The factors of a number of buckets.

  Raises:
    ValueError: if one is odd or below 2: a rotation names buckets in pairs.
  """
  factors = num_buckets if isinstance(num_buckets, tuple) else (num_buckets,)
  if any(factor < 2 or factor % 2 for factor in factors):
    raise ValueError(
        f"num_buckets {num_buckets}: each number must be even and at least 2"
    )
  return factors


def draw_rotations(
    key: jax.Array,
    *,
    num_heads: int,
    head_dim: int,
    num_hashes: int,
    num_buckets: Buckets,
) -> jax.Array:
  """[num_heads, head_dim, num_hashes, sum of factors / 2] float32."""
  width = sum(check_buckets(num_buckets)) // 2
  return jax.random.normal(key, (num_heads, head_dim, num_hashes, width))


def hash_vectors(
    vectors: jax.Array, rotations: jax.Array, num_buckets: Buckets
) -> jax.Array:
  """argmax([xR; -xR]) of each round, with one R for each factor.

  Args:
    vectors: [batch, length, num_heads, head_dim]; takes no gradient.
    rotations: as `draw_rotations` gives them.
    num_buckets: one number, or two whose product counts.

  Returns:
    [batch, num_heads, num_hashes, length] int32 from 0.
  """
  vectors = jax.lax.stop_gradient(vectors).astype(jnp.float32).swapaxes(1, 2)
  # All rounds in one product: [batch, heads, length, rounds, width].
  rotated = jnp.einsum(
      "bnlx,nxy->bnly",
      vectors,
      rotations.reshape(*rotations.shape[:2], -1),
  ).reshape(*vectors.shape[:3], *rotations.shape[2:])
  bucket = jnp.zeros(rotated.shape[:-1], jnp.int32)
  start, scale = 0, 1
  for factor in check_buckets(num_buckets):
    part = rotated[..., start : start + factor // 2]
    bucket += scale * _argmax_of_both_signs(part)
    start, scale = start + factor // 2, scale * factor
  return bucket.swapaxes(2, 3)


def _argmax_of_both_signs(x: jax.Array) -> jax.Array:
  """argmax of [x; -x] along the last axis.

  By two plain reductions: that of pairs of value and index is slow on CPU.
  """
  half = x.shape[-1]
  index = jax.lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)
  index += jnp.where(x < 0, half, 0)
  top = abs(x).max(-1, keepdims=True)
  return jnp.where(abs(x) == top, index, 2 * half - 1).min(-1)


def sort_tokens(buckets: jax.Array, segment_ids: jax.Array) -> Order:
  """Sorts by segment, then bucket, then offset; padding goes last.

  By segment first: chunks then hold tokens that may meet. The originals know
  one segment a row, for which this is their order.

  Args:
    buckets: [batch, heads, rounds, length] int32 from 0.
    segment_ids: [batch, length] int32, 0 marks padding.
  """
  length = segment_ids.shape[1]
  last = jnp.iinfo(jnp.int32).max
  segments = jnp.where(segment_ids == 0, last, segment_ids)[:, None, None]
  segments = jnp.broadcast_to(segments, buckets.shape)
  order = jax.lax.broadcasted_iota(jnp.int32, buckets.shape, 3)
  # The least of the keys first, each time keeping the order of equals: twice as
  # fast as comparing three keys at once.
  _, order = jax.lax.sort((buckets, order), num_keys=1, is_stable=True)
  segments = jnp.take_along_axis(segments, order, -1)
  _, order = jax.lax.sort((segments, order), num_keys=1, is_stable=True)
  # The inverse by a scatter: 20 times faster than by a sort.
  rows = order.reshape(-1, length)
  place = jnp.zeros_like(rows).at[jnp.arange(len(rows))[:, None], rows].set(
      jnp.arange(length, dtype=jnp.int32), unique_indices=True
  )
  return Order(order, place.reshape(order.shape))


def chunks_meet(
    queries: jax.Array, keys: jax.Array, num_chunks: int
) -> jax.Array:
  """Whether a query in one chunk sees keys of another, by chunk numbers.

  Its own and the one before; the first looks back at the last, as in the
  originals.
  """
  back = queries - keys
  return (back == 0) | (back == 1) | (back == 1 - num_chunks)


def count_chunks(length: int, chunk_size: int) -> int:
  """Chunks of a row; the last one may be filled with padding."""
  return math.ceil(length / chunk_size)
