"""Vectors of n-grams of tokens, found by hashing."""

from flax import nnx
import jax
import jax.numpy as jnp

# Odd numbers near 2**32 / golden ratio, of a multiplicative hash.
_MULTIPLIER = 0x9E3779B1
_MIXER = 0x85EBCA6B


class NgramEmbedding(nnx.Module):
  """Adds a vector for the last 2, 3, ... tokens to that of each token.

  The input of "Over-Tokenized Transformer" (arXiv 2501.16975, section 3.1),
  with one hash per n-gram: n-grams share the rows of one table, and what two of
  them have in common is learned by both. A short model need not spend its
  first layer on finding the event before. The vectors are 0 at first, so an
  n-gram that training has not seen adds what others left in its row, or
  nothing.

  Args:
    order: of the longest n-gram, 2 or more.
    buckets: rows of the table for each order.
    width: of a token's vector.
    rngs: for the parameters.

  Raises:
    ValueError: if order or buckets are out of range.
  """

  def __init__(self, order: int, buckets: int, width: int, *, rngs: nnx.Rngs):
    if order < 2 or buckets < 1:
      raise ValueError(
          f"ngram_order {order} must be at least 2 and ngram_buckets {buckets}"
          " at least 1"
      )
    self.order, self.buckets = order, buckets
    self.table = nnx.Embed(
        (order - 1) * buckets,
        width,
        embedding_init=nnx.initializers.zeros,
        dtype=jnp.float32,
        rngs=rngs,
    )

  def __call__(self, tokens: jax.Array, segment_ids: jax.Array) -> jax.Array:
    """[batch, length] int32 each -> [batch, length, width] float32.

    A token near the start of its segment has the shorter n-grams alone.
    """
    rows = ngram_rows(tokens, self.order, self.buckets)
    added = jnp.zeros((), jnp.float32)
    for n, row in enumerate(rows, 2):
      whole = _shift(segment_ids, n - 1) == segment_ids
      vectors = self.table((n - 2) * self.buckets + row)
      added += jnp.where(whole[..., None], vectors, 0)
    return added


def ngram_rows(
    tokens: jax.Array, order: int, buckets: int
) -> list[jax.Array]:
  """Hashes of the n-grams that end at each token.

  Args:
    tokens: [batch, length] int32.
    order: of the longest.
    buckets: values of a hash.

  Returns:
    For n = 2 to order, [batch, length] int32 in [0, buckets). Before the start
    of a row stands token 0.
  """
  state = tokens.astype(jnp.uint32)
  rows = []
  for n in range(2, order + 1):
    before = _shift(tokens, n - 1).astype(jnp.uint32)
    state = (state * jnp.uint32(_MULTIPLIER)) ^ (before + jnp.uint32(n))
    mixed = (state ^ (state >> 15)) * jnp.uint32(_MIXER)
    mixed ^= mixed >> 13
    rows.append((mixed % jnp.uint32(buckets)).astype(jnp.int32))
  return rows


def _shift(values: jax.Array, by: int) -> jax.Array:
  return jnp.pad(values, ((0, 0), (by, 0)))[:, : values.shape[1]]
