"""Numbers counted by their first three digits, in memory that is constant."""

import numpy as np

# A power of ten has 900 numbers of three digits.
_BINS = 900
# Bins for every int64, and those for lengths up to MAX_LENGTH.
NUM_BINS = _BINS * 19 + 1
MAX_LENGTH = 10**9 - 1
NUM_LENGTH_BINS = 1_000 + _BINS * 6
_POWERS = np.array([10**power for power in range(3, 19)])
_DIVISORS = np.array([10**power for power in range(17)])


def to_bin(numbers: np.ndarray) -> np.ndarray:
  """[n] int64, not negative -> [n] bins; below 1,000 each has its own."""
  bins = np.zeros(len(numbers), np.int64)
  # Most gaps of a log are 0; the work is in the others.
  places = np.flatnonzero(numbers)
  numbers = numbers[places]
  power = np.searchsorted(_POWERS, numbers, side="right")
  digits = numbers // _DIVISORS[power]
  bins[places] = np.where(power == 0, numbers, _BINS * power + digits)
  return bins


def from_bin(bins: np.ndarray) -> np.ndarray:
  """[n] bins -> [n] float64, the smallest number of each bin."""
  power, digits = np.divmod(np.maximum(bins - 1_000, 0), _BINS)
  large = (digits + 100.0) * 10.0 ** (power + 1)
  return np.where(bins < 1_000, bins, large)
