"""Single values as numbers, with NumPy alone: exported rankers hold this file.

Each table of categories has a range of ids from its offset on, see
`features.tables`.
"""

from collections.abc import Sequence
import itertools
import zlib

import numpy as np

# Ids of each table that are no values.
NUM_SPECIAL = 2
MISSING, UNKNOWN = 0, 1


def hash_bucket(text: str, buckets: int) -> int:
  """A bucket of a text, the same on every machine and in every version."""
  return zlib.crc32(text.encode()) % buckets


def value_ids(
    offset: int, number: int, later: Sequence[Sequence[int]]
) -> list[int]:
  """The ids of the values of a vocabulary, see `features.tables.ValueTable`.

  Args:
    offset: first id of the table.
    number: of values.
    later: (first id, number) of the values that retraining added.
  """
  first = number - sum(count for _, count in later)
  blocks = [(offset + NUM_SPECIAL, first), *later]
  return list(
      itertools.chain(*(range(at, at + count) for at, count in blocks))
  )


def normalise(
    numbers: np.ndarray,
    *,
    transform: str,
    mean: float,
    std: float,
    borders: Sequence[float],
) -> np.ndarray:
  """Numbers of a column as a model reads them.

  Args:
    numbers: [n] float64, NaN where a value is missing.
    transform: see `features.schema.Dense`.
    mean, std: of the transformed training values.
    borders: ascending values of training rows, for "quantile".

  Returns:
    [n] float32, 0 where a value is missing, which is the middle.
  """
  if transform == "quantile":
    out = _ranks(numbers, np.asarray(borders))
  else:
    out = (shape(transform, numbers) - mean) / std
  return np.where(np.isnan(numbers), 0.0, out).astype(np.float32)


def shape(transform: str, numbers: np.ndarray) -> np.ndarray:
  """The numbers before mean and standard deviation are applied."""
  if transform == "log":
    return np.sign(numbers) * np.log1p(np.abs(numbers))
  return numbers


def _ranks(numbers: np.ndarray, borders: np.ndarray) -> np.ndarray:
  """The middle of a value's ranks among the borders, -1 to 1."""
  if not len(borders):
    return np.zeros_like(numbers)
  low = np.searchsorted(borders, numbers, side="left")
  high = np.searchsorted(borders, numbers, side="right")
  return (low + high) / len(borders) - 1.0
