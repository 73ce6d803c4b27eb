"""Numbers of a table, normalised by what the training rows say."""

from collections.abc import Sequence
import dataclasses
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.data.features.schema import Dense
from behavior_lm.data.features.values import normalise
from behavior_lm.data.features.values import shape

# Borders that a quantile transform keeps at most.
_BORDERS = 255


@dataclasses.dataclass(frozen=True)
class Normaliser:
  """A fitted transform of one column.

  Attributes:
    feature: its declaration.
    mean, std: of the transformed training values; 0 and 1 where there are
      none.
    borders: ascending values of training rows, for "quantile".
    has_missing: whether a training row lacks the value, so that "missing"
      can be learned.
  """

  feature: Dense
  mean: float = 0.0
  std: float = 1.0
  borders: tuple[float, ...] = ()
  has_missing: bool = False

  @classmethod
  def fit(cls, feature: Dense, values: pl.Series) -> "Normaliser":
    """Learns from the values of training rows; null is missing."""
    found = values.drop_nulls().cast(pl.Float64).to_numpy()
    has_missing = values.null_count() > 0
    if feature.transform == "none" or not len(found):
      return cls(feature, has_missing=has_missing)
    if feature.transform == "quantile":
      shares = np.linspace(0, 1, _BORDERS)
      # Equal borders stay: a frequent value has the middle of its ranks.
      borders = np.quantile(found, shares, method="inverted_cdf")
      return cls(
          feature, borders=tuple(borders.tolist()), has_missing=has_missing
      )
    shaped = shape(feature.transform, found)
    std = float(shaped.std())
    return cls(
        feature,
        mean=float(shaped.mean()),
        # A constant column says nothing, and must not become large.
        std=std if std > 1e-9 else 1.0,
        has_missing=has_missing,
    )

  def apply(self, values: pl.Series) -> np.ndarray:
    """[n] float32, 0 where a value is missing, which is the middle."""
    numbers = values.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return normalise(
        numbers,
        transform=self.feature.transform,
        mean=self.mean,
        std=self.std,
        borders=self.borders,
    )

  def to_json(self) -> dict[str, Any]:
    return {
        "mean": self.mean,
        "std": self.std,
        "borders": list(self.borders),
        "has_missing": self.has_missing,
    }

  @classmethod
  def of_json(cls, feature: Dense, found: dict[str, Any]) -> "Normaliser":
    return cls(
        feature,
        mean=float(found["mean"]),
        std=float(found["std"]),
        borders=tuple(float(x) for x in found["borders"]),
        has_missing=bool(found["has_missing"]),
    )


def dense_width(normalisers: Sequence[Normaliser]) -> int:
  """Numbers of a row, see `dense_array`."""
  return len(normalisers) + sum(one.has_missing for one in normalisers)


def dense_array(
    normalisers: Sequence[Normaliser], columns: Sequence[pl.Series]
) -> np.ndarray:
  """[n, dense_width] float32: the values, then 1 where one is missing.

  Only columns that lack values in training rows have such an indicator: the
  weight of another one would never be trained.
  """
  values = [
      one.apply(column)
      for one, column in zip(normalisers, columns, strict=True)
  ]
  missing = [
      column.is_null().to_numpy().astype(np.float32)
      for one, column in zip(normalisers, columns, strict=True)
      if one.has_missing
  ]
  height = len(columns[0]) if columns else 0
  found = [*values, *missing]
  if not found:
    return np.zeros((height, 0), np.float32)
  return np.stack(found, 1).astype(np.float32)
