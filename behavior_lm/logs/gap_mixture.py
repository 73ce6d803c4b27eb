"""Learns from the gaps how long a pause ends a session.

Log gaps are taken for a mixture of two Gaussians, short gaps inside of an
activity and long ones between; the threshold is where a gap is as likely the
one as the other. Fitted by EM on a histogram: the cost does not grow with the
log. Log-normal mixtures of the times between a user's actions: Halfaker et
al., WWW 2015 (arXiv 1411.2878). What differs here, and why:

- A clock is coarse. With a plain density, thousands of gaps of exactly 1 s
  are a spike that takes a component for itself. So each bin is at least one
  tick of the clock wide and its LIKELIHOOD IS A PROBABILITY, the Gaussian's
  mass between the bin's edges (interval censoring).
- Ties (gaps of 0) are left out: they tell how many rows a log writes for one
  action, and nothing about where a session ends.
- A gap counts by the square root of its length. Session ends are rare, one
  gap in a thousand or less; counting heads, EM spends both components on the
  short gaps. Weighting by length**a turns a log-normal into a log-normal of
  the same spread (median times exp(a * std**2)), so it leaves the threshold
  of a true mixture where it is, and only moves the fit's effort. At a = 0 a
  gap counts as a head, at a = 1 as the time that passes in it, when a single
  gap of a year can outweigh everything.
"""

from collections.abc import Mapping
import dataclasses
import math
from typing import Any

import numpy as np

from behavior_lm.common.errors import UserError

MIN_GAPS = 200
LENGTH_WEIGHT = 0.5
# Gaps that are equal within a fifth are one kind with no spread of its own: a
# timer, not a habit.
_MIN_STD = 0.2
# Bins grow by this factor where it is more than a tick.
_GROWTH = 1.03
_TICKS = tuple(  # Microseconds: day, hour, minute, second, ... microsecond.
    [86_400_000_000, 3_600_000_000, 60_000_000]
    + [10**power for power in range(6, -1, -1)]
)
_MAX_STEPS, _TOLERANCE = 5_000, 1e-9
_FIX = "Give a fixed threshold instead."


@dataclasses.dataclass(frozen=True)
class Mixture:
  """Two Gaussians over the natural logarithm of gaps in seconds.

  Attributes:
    weights: of the short and the long component, shares of the gaps above 0.
    means: in log seconds.
    stds: in log seconds.
    threshold_seconds: a longer gap more likely belongs to the long one.
    log_likelihood: mean over the gaps of the log of the density, nats.
    num_gaps: gaps above 0 that were fitted.
    tick_seconds: resolution of the clock, as found in the gaps.
  """

  weights: tuple[float, float]
  means: tuple[float, float]
  stds: tuple[float, float]
  threshold_seconds: float
  log_likelihood: float
  num_gaps: int
  tick_seconds: float

  @property
  def medians(self) -> tuple[float, float]:
    """Of the components, seconds."""
    return math.exp(self.means[0]), math.exp(self.means[1])

  def densities(self, log_seconds: np.ndarray) -> np.ndarray:
    """[n] -> [2, n], each component's part of the density."""
    parts = np.array([self.weights, self.means, self.stds])[..., None]
    weights, means, stds = parts
    away = (log_seconds - means) / stds
    return weights / stds / math.sqrt(2 * math.pi) * np.exp(-(away**2) / 2)

  def to_json(self) -> dict[str, Any]:
    """An object for a JSON file."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(self).items()
    }

  @classmethod
  def from_json(cls, content: Mapping[str, Any]) -> "Mixture":
    """Raises KeyError or TypeError if the object is no mixture."""
    return cls(
        weights=tuple(content["weights"]),
        means=tuple(content["means"]),
        stds=tuple(content["stds"]),
        threshold_seconds=float(content["threshold_seconds"]),
        log_likelihood=float(content["log_likelihood"]),
        num_gaps=int(content["num_gaps"]),
        tick_seconds=float(content["tick_seconds"]),
    )


def fit_mixture(
    gaps: np.ndarray,
    counts: np.ndarray | None = None,
    *,
    length_weight: float = LENGTH_WEIGHT,
) -> Mixture:
  """Fits two components to gaps.

  Args:
    gaps: [n] int64 microseconds between neighbouring events of one user, of
      all users together; those of 0 are left out.
    counts: [n] how often each occurs; None is once.
    length_weight: a gap counts by its length to this power.

  Raises:
    UserError: if fewer than `MIN_GAPS` are above 0, or the gaps show no two
      kinds: they are all alike, a single Gaussian explains them as well
      (Bayesian information criterion), or the long ones take over nowhere
      inside of what was seen.
  """
  gaps = np.asarray(gaps, np.int64)
  counts = np.ones(len(gaps)) if counts is None else np.asarray(counts, float)
  gaps, counts = gaps[counts > 0], counts[counts > 0]
  gaps, counts = gaps[gaps > 0], counts[gaps > 0]
  total = int(counts.sum())
  if total < MIN_GAPS:
    raise UserError(
        f"only {total:,} gaps are above 0, too few to learn a session threshold"
        f" from (at least {MIN_GAPS}). {_FIX}"
    )
  tick = clock_tick(gaps, counts)
  low, high, counts = bins(gaps, counts, tick)
  if len(counts) < 5:
    raise UserError(
        f"the gaps take {len(counts)} different lengths only, too few to learn"
        f" a session threshold from. {_FIX}"
    )
  weights = counts * np.exp(length_weight * (low + high) / 2)
  one, two = _em(low, high, weights, 1), _em(low, high, weights, 2)
  # How many equally weighted gaps would be as good (Kish).
  effective = weights.sum() ** 2 / (weights**2 / counts).sum()
  gain = effective * (two.log_likelihood - one.log_likelihood)
  if gain < 1.5 * math.log(effective):
    raise UserError(
        f"the {total:,} gaps show one kind of pause, not two (median"
        f" {math.exp(_unweighted(one, length_weight).means[0]):,.3g} s): no"
        f" session threshold can be learned from them. {_FIX}"
    )
  plain = _unweighted(two, length_weight)
  threshold = _crossing(plain)
  if threshold is None or not low[0] < threshold < high[-1]:
    raise UserError(
        f"the {total:,} gaps have no length from which long pauses prevail: no"
        f" session threshold can be learned from them. {_FIX}"
    )
  mass, _, _ = _moments(low, high, plain)
  density = (plain.weights * mass).sum(1) / (high - low)
  first, second = range(2)
  return Mixture(
      weights=(float(plain.weights[first]), float(plain.weights[second])),
      means=(float(plain.means[first]), float(plain.means[second])),
      stds=(float(plain.stds[first]), float(plain.stds[second])),
      threshold_seconds=math.exp(threshold),
      log_likelihood=float((counts * np.log(density)).sum() / total),
      num_gaps=total,
      tick_seconds=tick / 1e6,
  )


def clock_tick(gaps: np.ndarray, counts: np.ndarray) -> int:
  """The clock's resolution: what 99 % of the gaps are multiples of.

  Args:
    gaps: [n] int64 microseconds, above 0.
    counts: [n] how often each occurs.

  Returns:
    Microseconds: a day, an hour, a minute, or a power of ten up to a second.
  """
  for tick in _TICKS:
    if counts[gaps % tick == 0].sum() >= 0.99 * counts.sum():
      return tick
  raise AssertionError("every gap is a multiple of a microsecond")


def bins(
    gaps: np.ndarray, counts: np.ndarray, tick: int, growth: float = _GROWTH
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Counts gaps in bins of whole ticks of the clock.

  A gap of k ticks stands for all between k - 1/2 and k + 1/2 of them.

  Args:
    gaps: [n] int64 microseconds, above 0.
    counts: [n] how often each occurs.
    tick: microseconds.
    growth: edges are at most this many times the one before, or one tick.

  Returns:
    Of the bins that are not empty, [m] edges low and high in log seconds, and
    [m] counts.
  """
  edges = [0.5]
  largest = float(gaps.max()) / tick
  while edges[-1] < largest:
    edges.append(max(edges[-1] + 1, math.floor(edges[-1] * growth) + 0.5))
  ends = np.array(edges) * tick
  # The few gaps below half a tick, of a log with two clocks, go to the first.
  place = np.maximum(np.searchsorted(ends, gaps, side="right") - 1, 0)
  inside = np.bincount(place, counts, minlength=len(ends) - 1)
  used = inside > 0
  logs = np.log(ends / 1e6)
  return logs[:-1][used], logs[1:][used], inside[used]


@dataclasses.dataclass(frozen=True)
class _Fit:
  """[k] each, ordered by mean."""

  weights: np.ndarray
  means: np.ndarray
  stds: np.ndarray
  log_likelihood: float = math.nan


def _em(
    low: np.ndarray, high: np.ndarray, weights: np.ndarray, number: int
) -> _Fit:
  """Expectation maximisation for interval-censored Gaussians."""
  weights = weights / weights.sum()
  middle = (low + high) / 2
  mean = weights @ middle
  std = max(math.sqrt(weights @ (middle - mean) ** 2), _MIN_STD)
  places = (np.arange(number) + 0.5) / number
  inits = [
      np.interp(places, np.cumsum(weights), middle),
      middle[0] + places * (middle[-1] - middle[0]),
  ]
  fits = []
  for means in inits:
    fit = _Fit(
        np.full(number, 1 / number), means, np.full(number, std / number)
    )
    for _ in range(_MAX_STEPS):
      mass, shift, square = _moments(low, high, fit)
      joint = fit.weights * mass
      likelihood = joint.sum(1)
      share = joint / likelihood[:, None] * weights[:, None]
      score = float(weights @ np.log(likelihood))
      part = share.sum(0)
      moved = (share * shift).sum(0) / part
      spread = (share * square).sum(0) / part - moved**2
      done = score - fit.log_likelihood < _TOLERANCE
      fit = _Fit(
          part,
          fit.means + moved,
          np.sqrt(np.maximum(spread, _MIN_STD**2)),
          score,
      )
      if done:
        break
    fits.append(fit)
  best = max(fits, key=lambda fit: fit.log_likelihood)
  order = np.argsort(best.means)
  return _Fit(
      best.weights[order],
      best.means[order],
      best.stds[order],
      best.log_likelihood,
  )


def _moments(
    low: np.ndarray, high: np.ndarray, fit: _Fit
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Mass between the edges, and the moments about the mean there.

  Returns:
    [m, k] mass, E[x - mean] and E[(x - mean)**2] given the interval, by the
    formulas of the truncated normal distribution.
  """
  # 0.2 s of import that every worker of prepare.py would pay for nothing.
  from scipy import special

  start = (low[:, None] - fit.means) / fit.stds
  end = (high[:, None] - fit.means) / fit.stds
  # In the tail that keeps digits: 1 - (1 - tiny) would lose them.
  flip = start > 0
  mass = special.ndtr(np.where(flip, -start, end)) - special.ndtr(
      np.where(flip, -end, start)
  )
  middle = (start + end) / 2
  # So far out that the mass is no number: take the interval for a point.
  far = mass < 1e-250
  safe = np.where(far, 1.0, mass)
  at_start, at_end = _density(start), _density(end)
  first = np.where(far, middle, (at_start - at_end) / safe)
  first = np.clip(first, start, end)
  second = np.where(
      far, middle**2, 1 + (start * at_start - end * at_end) / safe
  )
  second = np.maximum(second, first**2)
  return (
      np.where(far, 1e-250, mass),
      first * fit.stds,
      second * fit.stds**2,
  )


def _density(away: np.ndarray) -> np.ndarray:
  return np.exp(-(away**2) / 2) / math.sqrt(2 * math.pi)


def _unweighted(fit: _Fit, power: float) -> _Fit:
  """The mixture of the gaps, from the one weighted by length**power."""
  means = fit.means - power * fit.stds**2
  from scipy import special

  log = np.log(fit.weights) - power * means - (power * fit.stds) ** 2 / 2
  return _Fit(special.softmax(log), means, fit.stds)


def _crossing(fit: _Fit) -> float | None:
  """Log seconds where the long component takes over; None is nowhere.

  The log odds of short against long are a quadratic; of its two roots the one
  at which they fall is meant.
  """
  apart = fit.means[1] - fit.means[0]
  narrow, wide = fit.stds**2
  square = (1 / wide - 1 / narrow) / 2
  slope = -apart / wide
  odds = fit.weights / fit.stds
  level = math.log(odds[0] / odds[1]) + apart**2 / (2 * wide)
  root = slope**2 - 4 * square * level
  if root <= 0 or math.sqrt(root) - slope <= 0:
    return None
  return float(fit.means[0] + 2 * level / (math.sqrt(root) - slope))
