"""Metrics of predictions with intervals over users, and paired tests.

Every metric is a function of weights of the rows, so that one code gives the
value (all weights are 1) and its bootstrap (weights are how often the row's
user was drawn, Efron and Tibshirani 1993). AUC and average precision compare
scores of rows that one fitted model scored, so they are taken in each fold and
averaged; the others are sums over rows. The fitted models are given: the
interval says how a result varies over the users who are tested.
"""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

import numpy as np

from behavior_lm.data.samples.sample_columns import BINARY
from behavior_lm.data.samples.sample_columns import MULTI_CLASS
from behavior_lm.data.samples.sample_columns import MULTI_LABEL
from behavior_lm.data.samples.sample_columns import REGRESSION
from behavior_lm.evaluation.statistics import CONFIDENCE
from behavior_lm.evaluation.statistics import Difference
from behavior_lm.evaluation.statistics import Estimate

NUM_RESAMPLES = 1_000
_FLOOR = 1e-7  # Probabilities below it are scored as it.
NUM_BINS = 10


@dataclasses.dataclass(frozen=True)
class Predictions:
  """What one row of a table predicted.

  Attributes:
    kind: of the label, one of `sample_columns.KINDS`.
    labels: [n] of 0 and 1, class numbers or numbers; [n, labels] of 0 and 1
      for multi_label.
    scores: [repetitions, n] probabilities of 1 (binary) or values
      (regression), or [repetitions, n, classes] probabilities.
    decisions: [repetitions, n] bool, whether the score reached the threshold
      that was chosen on validation rows; binary alone, else None.
    folds: [repetitions, n] int, the fold that tested the row, -1 for rows that
      no fold tested.
    users: [n] int, 0 to the number of users - 1.
  """

  kind: str
  labels: np.ndarray
  scores: np.ndarray
  decisions: np.ndarray | None
  folds: np.ndarray
  users: np.ndarray


Metrics = dict[str, np.ndarray]
# The first metric of a kind is the one that rows are compared by.
MAIN = {
    BINARY: "auc",
    MULTI_CLASS: "top_1",
    MULTI_LABEL: "auc",
    REGRESSION: "r2",
}
LOWER_IS_BETTER = ("log_loss", "brier", "mae", "rmse")


def measure(
    found: Predictions, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> Metrics:
  """Each metric on all users, and on resampled ones.

  Returns:
    {metric: [1 + num_resamples] float64}; place 0 is the value on all users.
    Equal seeds draw the same users, so that rows can be compared in pairs.
  """
  num_users = int(found.users.max()) + 1
  tested = np.unique(found.users[(found.folds >= 0).any(axis=0)])
  drawn = user_draws(len(tested), num_resamples, seed)
  weights = np.zeros((len(drawn), num_users), np.float32)
  weights[:, tested] = drawn
  return _METRICS[found.kind](found, weights)


def estimate(values: np.ndarray) -> Estimate:
  """The value and its percentile interval."""
  return Estimate(float(values[0]), *_limits(values[1:]))


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
  """First minus second on the same draws, with a two-sided p value.

  p is twice the smaller share of draws on one side of zero, with one added to
  both counts (Davison and Hinkley 1997, section 4.2), so it is never 0.
  """
  change = first - second
  draws = change[1:]
  draws = draws[np.isfinite(draws)]
  side = min((draws <= 0).sum(), (draws >= 0).sum())
  p = min(1.0, 2.0 * (int(side) + 1) / (len(draws) + 1))
  return Difference(float(change[0]), *_limits(draws), p)


def calibration(
    labels: np.ndarray, scores: np.ndarray, num_bins: int = NUM_BINS
) -> list[dict[str, Any]]:
  """Mean probability beside the share of 1, in bins of equal size.

  Args:
    labels: [n] of 0 and 1.
    scores: [n] probabilities.
    num_bins: at most so many.

  Returns:
    One {"rows", "predicted", "observed"} per bin, from low to high.
  """
  order = np.argsort(scores, kind="stable")
  parts = np.array_split(order, min(num_bins, len(order)))
  return [
      {
          "rows": len(part),
          "predicted": float(np.mean(scores[part])),
          "observed": float(np.mean(labels[part])),
      }
      for part in parts
  ]


def best_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
  """The threshold with the best F1; rows at or above it are 1.

  Choose it on validation rows, never on those that are tested. Half way
  between two scores, where the F1 of those rows is the same.
  """
  order = np.argsort(-scores, kind="stable")
  sorted_scores = scores[order]
  hits = np.cumsum(labels[order])
  f1 = 2 * hits / (np.arange(1, len(order) + 1) + max(labels.sum(), 1))
  last = np.append(sorted_scores[:-1] != sorted_scores[1:], True)
  best = int(np.argmax(np.where(last, f1, -1)))
  if best + 1 == len(order):
    return float(sorted_scores[best])
  return float((sorted_scores[best] + sorted_scores[best + 1]) / 2)


def ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """[..., n, classes], [n] -> [..., n] rank of the label, 1 is the first.

  Classes of the same score share their mean rank, so that a model that says
  nothing gains nothing.
  """
  at = np.broadcast_to(labels[:, None], (*scores.shape[:-1], 1))
  own = np.take_along_axis(scores, at, axis=-1)
  above = (scores > own).sum(axis=-1)
  ties = (scores == own).sum(axis=-1) - 1
  return 1 + above + ties / 2


def user_draws(num_users: int, num_resamples: int, seed: int) -> np.ndarray:
  """[1 + num_resamples, num_users] float32, how often a user is drawn."""
  rng = np.random.default_rng(seed)
  share = np.full(num_users, 1 / num_users)
  drawn = rng.multinomial(num_users, share, num_resamples)
  return np.concatenate([np.ones((1, num_users)), drawn]).astype(np.float32)


def _limits(draws: np.ndarray) -> tuple[float, float]:
  draws = draws[np.isfinite(draws)]
  if not len(draws):
    return float("nan"), float("nan")
  tail = 50 * (1 - CONFIDENCE)
  low, high = np.percentile(draws, [tail, 100 - tail])
  return float(low), float(high)


def _mean(
    found: Predictions, weights: np.ndarray, values: np.ndarray
) -> np.ndarray:
  """Weighted mean of values [repetitions, n] over the tested rows."""
  return _sum(found, weights, values) / _sum(
      found, weights, np.ones_like(values)
  )


def _sum(
    found: Predictions, weights: np.ndarray, values: np.ndarray
) -> np.ndarray:
  tested = (found.folds >= 0).astype(np.float64)
  by_row = np.where(tested > 0, values, 0).sum(axis=0)
  by_user = np.bincount(found.users, by_row, minlength=weights.shape[1])
  return weights.astype(np.float64) @ by_user


def _by_fold(
    found: Predictions,
    weights: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    metric: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
  """Mean over repetitions and folds; folds without both classes are out."""
  values = []
  for folds, row in zip(found.folds, scores, strict=True):
    for fold in np.unique(folds[folds >= 0]):
      at = np.flatnonzero(folds == fold)
      values.append(metric(labels[at], row[at], weights[:, found.users[at]]))
  with np.errstate(invalid="ignore"):
    known = np.isfinite(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def weighted_auc(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> np.ndarray:
  """AUC under each of several weightings of the rows; ties count half.

  Args:
    labels: [n] of 0 and 1.
    scores: [n].
    weights: [draws, n].

  Returns:
    [draws] float64; NaN where a class has no weight.
  """
  positive, negative = _by_score(labels, scores, weights)
  below = np.cumsum(negative, axis=1) - negative / 2
  total = positive.sum(axis=1) * negative.sum(axis=1)
  with np.errstate(invalid="ignore", divide="ignore"):
    return np.where(total > 0, (positive * below).sum(axis=1) / total, np.nan)


def weighted_average_precision(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> np.ndarray:
  """Average precision, as scikit-learn defines it, for each weighting."""
  positive, negative = _by_score(labels, -scores, weights)
  hits = np.cumsum(positive, axis=1)
  taken = hits + np.cumsum(negative, axis=1)
  total = positive.sum(axis=1)
  with np.errstate(invalid="ignore", divide="ignore"):
    precision = np.where(taken > 0, hits / taken, 0)
    return np.where(
        total > 0, (positive * precision).sum(axis=1) / total, np.nan
    )


def _by_score(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Weights of 1 and of 0 at each distinct score, ascending."""
  order = np.argsort(scores, kind="stable")
  _, start = np.unique(scores[order], return_index=True)
  weights = weights[:, order].astype(np.float64)
  is_one = labels[order] == 1
  positive = np.add.reduceat(weights * is_one, start, axis=1)
  negative = np.add.reduceat(weights * ~is_one, start, axis=1)
  return positive, negative


def _binary(found: Predictions, weights: np.ndarray) -> Metrics:
  labels, scores = found.labels, np.clip(found.scores, 0, 1)
  assert found.decisions is not None
  hit = found.decisions & (labels == 1)
  own = np.where(labels == 1, scores, 1 - scores)
  missed = found.decisions.astype(float) + (labels == 1) - hit
  with np.errstate(invalid="ignore", divide="ignore"):
    f1 = 2 * _sum(found, weights, hit * 1.0) / (
        _sum(found, weights, missed) + _sum(found, weights, hit * 1.0)
    )
  return {
      "auc": _by_fold(found, weights, labels, scores, weighted_auc),
      "average_precision": _by_fold(
          found, weights, labels, scores, weighted_average_precision
      ),
      "f1": np.nan_to_num(f1),
      "accuracy": _mean(found, weights, (found.decisions == labels) * 1.0),
      "log_loss": _mean(found, weights, -np.log(np.maximum(own, _FLOOR))),
      "brier": _mean(found, weights, (1 - own) ** 2),
  }


def _multi_class(found: Predictions, weights: np.ndarray) -> Metrics:
  labels = found.labels.astype(np.int64)
  rank = ranks(found.scores, labels)
  at = np.broadcast_to(labels[:, None], (*found.scores.shape[:-1], 1))
  own = np.take_along_axis(found.scores, at, axis=-1)[..., 0]
  squares = (found.scores**2).sum(axis=-1) - own**2 + (1 - own) ** 2
  within = {f"top_{k}": (rank <= k) * 1.0 for k in (1, 3, 5)}
  gain = np.where(rank <= 10, 1 / np.log2(1 + rank), 0)
  values = within | {
      "ndcg_10": gain,
      "mrr": 1 / rank,
      "log_loss": -np.log(np.maximum(own, _FLOOR)),
      "brier": squares,
  }
  return {name: _mean(found, weights, v) for name, v in values.items()}


def _multi_label(found: Predictions, weights: np.ndarray) -> Metrics:
  """Means over the labels, each scored as a label of its own."""
  own = np.where(found.labels == 1, found.scores, 1 - found.scores)
  columns = range(found.labels.shape[1])

  def mean(metric: Any) -> np.ndarray:
    each = [
        _by_fold(
            found, weights, found.labels[:, i], found.scores[:, :, i], metric
        )
        for i in columns
    ]
    known = np.isfinite(each)
    total = np.where(known, each, 0).sum(axis=0)
    return total / np.maximum(known.sum(axis=0), 1)

  loss = -np.log(np.maximum(own, _FLOOR)).mean(axis=-1)
  return {
      "auc": mean(weighted_auc),
      "average_precision": mean(weighted_average_precision),
      "log_loss": _mean(found, weights, loss),
      "brier": _mean(found, weights, ((1 - own) ** 2).mean(axis=-1)),
  }


def _regression(found: Predictions, weights: np.ndarray) -> Metrics:
  labels = np.broadcast_to(found.labels, found.scores.shape)
  error = found.scores - labels
  squares = _mean(found, weights, error**2)
  variance = (
      _mean(found, weights, labels**2) - _mean(found, weights, labels) ** 2
  )
  return {
      "r2": 1 - squares / np.maximum(variance, 1e-12),
      "mae": _mean(found, weights, np.abs(error)),
      "rmse": np.sqrt(squares),
  }


_METRICS: Mapping[str, Callable[[Predictions, np.ndarray], Metrics]] = {
    BINARY: _binary,
    MULTI_CLASS: _multi_class,
    MULTI_LABEL: _multi_label,
    REGRESSION: _regression,
}
