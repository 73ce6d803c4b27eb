"""Which tokens are masked: an exact budget for every sequence."""

import jax
import jax.numpy as jnp


def max_masked(length: int, mask_rate: float, max_segments: int) -> int:
  """Masked positions that a packed row can have at most.

  A segment of CLS and n events masks floor(rate * n + 1/2) of them; over s
  segments in a row that is at most rate * length + s * (1/2 - rate).
  """
  # And what float32 may add where a product is just below a whole number.
  rounding = 1e-6 * (length + 1)
  slack = max_segments * max(0.5 - mask_rate, 0.0) + rounding
  return max(1, min(length, int(mask_rate * length + slack)))


def budgets(
    eligible: jax.Array,
    segment_ids: jax.Array,
    mask_rate: float,
    max_segments: int,
) -> jax.Array:
  """round(rate * n) of each segment, [batch, max_segments + 1] int32."""
  count = lambda ids, ok: jax.ops.segment_sum(
      ok.astype(jnp.int32), ids, num_segments=max_segments + 1
  )
  sizes = jax.vmap(count)(segment_ids, eligible)
  chosen = jnp.floor(mask_rate * sizes + 0.5).astype(jnp.int32)
  return chosen.at[:, 0].set(0)  # segment 0 is padding


def choose_masked(
    scores: jax.Array,
    eligible: jax.Array,
    segment_ids: jax.Array,
    *,
    mask_rate: float,
    max_segments: int,
) -> tuple[jax.Array, jax.Array]:
  """The round(rate * n) highest scores of each segment.

  With independent noise as scores this is the uniform strategy; with
  s / T + Gumbel noise it draws from softmax(s / T) without replacement
  (the Gumbel top-k trick, arXiv 1903.06059), so the budget is exact however
  sharp the scores are.

  Args:
    scores: [batch, length] float32.
    eligible: [batch, length] bool, False for special tokens and padding.
    segment_ids: [batch, length] int32, 0 marks padding.
    mask_rate: share of a segment's eligible positions.
    max_segments: segments in a row at most.

  Returns:
    indices [batch, n] int32 row offsets, ascending, and valid [batch, n] bool,
    n = `max_masked(...)`; offsets that are not valid are 0.
  """
  batch, length = scores.shape
  budget = budgets(eligible, segment_ids, mask_rate, max_segments)
  # Group by segment, best first; what may not be masked goes to the end.
  group = jnp.where(eligible, segment_ids, max_segments + 1)
  offsets = jnp.broadcast_to(jnp.arange(length), (batch, length))
  group, _, offsets = jax.lax.sort(
      (group, -scores, offsets), dimension=1, num_keys=2
  )
  starts = jax.vmap(
      lambda row: jnp.searchsorted(row, jnp.arange(max_segments + 2))
  )(group)
  rank = jnp.arange(length) - jnp.take_along_axis(starts, group, 1)
  allowed = jnp.take_along_axis(
      jnp.pad(budget, ((0, 0), (0, 1))), group, axis=1
  )
  picked = jnp.where(rank < allowed, offsets, length)
  indices = jnp.sort(picked, axis=1)
  indices = indices[:, : max_masked(length, mask_rate, max_segments)]
  valid = indices < length
  return jnp.where(valid, indices, 0), valid
