"""Which tokens are masked: a budget for every sequence."""

import math

import jax
import jax.numpy as jnp


def max_drawn(length: int, mask_rate: float) -> int:
  """Masked positions that a row of independent draws has, almost surely.

  Six standard deviations above the mean: one row in a billion has more.
  """
  mean = mask_rate * length
  return max(1, min(length, math.ceil(mean + 6 * math.sqrt(mean) + 1)))


def chosen(mask: jax.Array, most: int) -> tuple[jax.Array, jax.Array]:
  """The places of a mask.

  Args:
    mask: [batch, length] bool.
    most: places of a row at most; further ones are left out.

  Returns:
    See `choose_masked`; n is `most`.
  """
  length = mask.shape[1]
  picked = jnp.sort(jnp.where(mask, jnp.arange(length), length), axis=1)
  indices = picked[:, :most]
  valid = indices < length
  return jnp.where(valid, indices, 0), valid


def max_masked(length: int, mask_rate: float) -> int:
  """Masked positions that a packed row can have at most, see `budgets`."""
  # One for the draw, and what float32 may add just below a whole number.
  rounding = 1e-5 * (length + 1)
  return max(1, min(length, int(mask_rate * length + 1 + rounding)))


def budgets(
    eligible: jax.Array,
    segment_ids: jax.Array,
    draws: jax.Array,
    *,
    mask_rate: jax.Array | float,
    max_segments: int,
) -> jax.Array:
  """rate * n of each segment, rounded up or down by chance.

  Short segments are masked in expectation too: three events at 15 % lose one
  in 45 % of the draws. Systematic sampling: the shares of a row's segments are
  laid end to end, and a segment gets as many as whole numbers fall into its
  share after a common random shift. So each one's mean is exact, and the sum
  of a row is rounded once.

  Args:
    eligible: [batch, length] bool.
    segment_ids: [batch, length] int32, 0 marks padding.
    draws: [batch] float32 in [0, 1), the shift of each row.
    mask_rate: share of a segment's eligible positions.
    max_segments: segments in a row at most.

  Returns:
    [batch, max_segments + 1] int32.
  """
  count = lambda ids, ok: jax.ops.segment_sum(
      ok.astype(jnp.int32), ids, num_segments=max_segments + 1
  )
  sizes = jax.vmap(count)(segment_ids, eligible)
  sizes = sizes.at[:, 0].set(0)  # segment 0 is padding
  ends = jnp.floor(mask_rate * jnp.cumsum(sizes, axis=1) + draws[:, None])
  return jnp.diff(ends.astype(jnp.int32), axis=1, prepend=0)


def choose_masked(
    scores: jax.Array,
    eligible: jax.Array,
    segment_ids: jax.Array,
    draws: jax.Array,
    *,
    mask_rate: jax.Array | float,
    max_segments: int,
    most: int | None = None,
) -> tuple[jax.Array, jax.Array]:
  """The rate * n highest scores of each segment, see `budgets`.

  With independent noise as scores this is the uniform strategy; with
  s / T + Gumbel noise it draws from softmax(s / T) without replacement
  (the Gumbel top-k trick, arXiv 1903.06059), so the budget is exact however
  sharp the scores are.

  Args:
    scores: [batch, length] float32.
    eligible: [batch, length] bool, False for special tokens and padding.
    segment_ids: [batch, length] int32, 0 marks padding.
    draws: [batch] float32 in [0, 1), decide the rounding.
    mask_rate: share of a segment's eligible positions.
    max_segments: segments in a row at most.
    most: masked positions of a row at most; `max_masked(...)` of the rate when
      None, for which it has to be a number.

  Returns:
    indices [batch, n] int32 row offsets, ascending, and valid [batch, n] bool,
    n = `most`; offsets that are not valid are 0.
  """
  batch, length = scores.shape
  budget = budgets(
      eligible,
      segment_ids,
      draws,
      mask_rate=mask_rate,
      max_segments=max_segments,
  )
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
  if most is None:
    most = max_masked(length, float(mask_rate))
  indices = indices[:, :most]
  valid = indices < length
  return jnp.where(valid, indices, 0), valid
