"""Confidence intervals and paired tests by a bootstrap over users.

Events of one user hang together, so users are resampled, not events, with all
of their events at once. Intervals are percentiles and p values their inversion
(Efron and Tibshirani 1993, chapters 13 and 15). What a user contributes is
fixed, so this says how a result would vary over users, not over training runs.
"""

from collections.abc import Iterator, Sequence
import dataclasses

import numpy as np

NUM_RESAMPLES = 2_000
CONFIDENCE = 0.95
# Draws of one block: [resamples, users] int64, 64 MiB.
BLOCK_CELLS = 1 << 23


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A value and its confidence interval."""

  value: float
  low: float
  high: float

  @property
  def interval(self) -> list[float]:
    return [self.low, self.high]


@dataclasses.dataclass(frozen=True)
class Difference(Estimate):
  """First minus second, and the two-sided p value of no difference."""

  p: float


def bootstrap_ratio(
    bits: Sequence[float] | np.ndarray,
    events: Sequence[float] | np.ndarray,
    users: Sequence[str] | np.ndarray,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
    block_cells: int = BLOCK_CELLS,
) -> Estimate:
  """Interval of sum(bits) / sum(events); accuracy works with hits as bits.

  Args:
    bits: [n] sums, one for each sequence (or user).
    events: [n] number of events that each sum is over.
    users: [n] whose sequence it is.
    num_resamples: bootstrap samples; limits move by about 1 % of the
      interval with the default.
    seed: the same one gives the same interval.
    block_cells: users times resamples drawn at once; bounds memory alone.

  Raises:
    ValueError: for arrays of different lengths, values that are not finite, no
      events, or fewer than two users.
  """
  value, draws = _ratios(bits, events, users, num_resamples, seed, block_cells)
  return Estimate(value, *_percentiles(draws))


def bootstrap_difference(
    bits_a: Sequence[float] | np.ndarray,
    bits_b: Sequence[float] | np.ndarray,
    events: Sequence[float] | np.ndarray,
    users: Sequence[str] | np.ndarray,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Difference:
  """Model a minus model b on the same events, paired by user.

  Below zero, a needs fewer bits. The p value is twice the smaller share of
  resamples on one side of zero, with one added to both counts (Davison and
  Hinkley 1997, section 4.2): never 0, at least 2 / (num_resamples + 1).

  Args and errors are those of `bootstrap_ratio`.
  """
  change = _vector(bits_a, "bits_a") - _vector(bits_b, "bits_b")
  value, draws = _ratios(change, events, users, num_resamples, seed)
  side = min(np.count_nonzero(draws <= 0), np.count_nonzero(draws >= 0))
  p = min(1.0, 2.0 * (side + 1) / (num_resamples + 1))
  return Difference(value, *_percentiles(draws), p)


def _vector(values: Sequence[float] | np.ndarray, name: str) -> np.ndarray:
  vector = np.asarray(values, np.float64)
  if vector.ndim != 1:
    raise ValueError(f"{name} has shape {vector.shape}, not one dimension")
  if not np.isfinite(vector).all():
    raise ValueError(f"{name} holds values that are not finite")
  return vector


def _sum_by_user(
    users: Sequence[str] | np.ndarray,
    bits: Sequence[float] | np.ndarray,
    events: Sequence[float] | np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
  """Sums of bits and of events, [num_users] each; users without events go."""
  bits, events = _vector(bits, "bits"), _vector(events, "events")
  if not len(users) == bits.size == events.size:
    raise ValueError(
        f"{len(users)} users, {bits.size} bits and {events.size} events must"
        " be as many"
    )
  if (events < 0).any():
    raise ValueError("a number of events is below 0")
  _, user = np.unique(np.asarray(users), return_inverse=True)
  total = np.bincount(user, events)
  counted = total > 0
  if counted.sum() < 2:
    raise ValueError(
        "an interval over users takes at least two users with events, not"
        f" {counted.sum()}"
    )
  return np.bincount(user, bits)[counted], total[counted]


def _ratios(
    bits: Sequence[float] | np.ndarray,
    events: Sequence[float] | np.ndarray,
    users: Sequence[str] | np.ndarray,
    num_resamples: int,
    seed: int,
    block_cells: int = BLOCK_CELLS,
) -> tuple[float, np.ndarray]:
  """The ratio of all users, and of resampled users [num_resamples]."""
  if num_resamples < 100:
    raise ValueError(f"{num_resamples} resamples give no percentiles")
  bits, events = _sum_by_user(users, bits, events)
  draws = np.concatenate([
      bits[chosen].sum(axis=1) / events[chosen].sum(axis=1)
      for chosen in _draws(bits.size, num_resamples, seed, block_cells)
  ])
  return float(bits.sum() / events.sum()), draws


def _draws(
    num_users: int, num_resamples: int, seed: int, block_cells: int
) -> Iterator[np.ndarray]:
  """Blocks [resamples, num_users] of user rows, drawn with replacement."""
  rng = np.random.default_rng(seed)
  size = max(1, block_cells // num_users)
  for first in range(0, num_resamples, size):
    yield rng.integers(
        num_users, size=(min(size, num_resamples - first), num_users)
    )


def _percentiles(draws: np.ndarray) -> tuple[float, float]:
  tail = 50 * (1 - CONFIDENCE)
  low, high = np.percentile(draws, [tail, 100 - tail])
  return float(low), float(high)
