"""How many of the keys that matter hashing finds, by number of rounds."""

import jax
import jax.numpy as jnp

from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.masks import bucket_mask


def top_key_recall(
    query_key: jax.Array,
    *,
    buckets: jax.Array,
    segment_ids: jax.Array,
    chunk_size: int,
    top_k: int,
    causal: bool = False,
) -> jax.Array:
  """Share of each token's best keys that its chunks contain.

  The best keys are the `top_k` with the highest scores, or fewer where a token
  may see fewer; itself is never among them. Quadratic: for figures and tests.

  Args:
    query_key: [batch, length, num_heads, head_dim].
    buckets: [batch, num_heads, rounds, length] int32.
    segment_ids: [batch, length] int32, 0 marks padding.
    chunk_size: tokens in a chunk.
    top_k: best keys a token, at most `length`.
    causal: only keys before the token.

  Returns:
    [rounds] float32 from 0 to 1: with the first round, the first two, and so
    on; nan if no token may see another.

  Raises:
    ValueError: if `top_k` is not between 1 and the length.
  """
  length = query_key.shape[1]
  if not 1 <= top_k <= length:
    raise ValueError(f"top_k {top_k} is not between 1 and the length {length}")
  offsets = jnp.arange(length)
  may = segment_mask(segment_ids, positions=offsets[None], causal=causal)
  may &= offsets[:, None] != offsets
  x = query_key.astype(jnp.float32)
  # A query's length scales all its scores: only the keys' directions rank.
  keys = x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-20)
  scores = jnp.einsum("bind,bjnd->bnij", x, keys)
  best, at = jax.lax.top_k(jnp.where(may, scores, -jnp.inf), top_k)
  wanted = best > -jnp.inf
  shares = []
  for rounds in range(1, buckets.shape[2] + 1):
    seen = bucket_mask(
        buckets[:, :, :rounds],
        segment_ids,
        chunk_size=chunk_size,
        causal=causal,
    )
    found = wanted & jnp.take_along_axis(seen, at, -1)
    shares.append(found.sum() / wanted.sum())
  return jnp.stack(shares)
