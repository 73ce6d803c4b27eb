"""Cross-validated AUC with its interval, and a paired test of two of them.

The AUC is taken inside each fold and averaged, because scores of models that
were fitted on different folds share no scale. Its variance comes from the
influence of each user (LeDell, Petersen and van der Laan 2015, Electronic
Journal of Statistics 9:1583; within one fold these are the components of
DeLong, DeLong and Clarke-Pearson 1988, by midranks). Repetitions with other
folds average a user's influences first: the users are the same. The fitted
models are taken as given, so the interval covers the choice of users to test
on and not the choice of users to train on.
"""

import dataclasses
import math

import numpy as np
from scipy import special
from scipy import stats

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class AucEstimate:
  """An AUC, its interval, and the influence [num_users] of each user on it."""

  value: float
  low: float
  high: float
  influence: np.ndarray


@dataclasses.dataclass(frozen=True)
class AucDifference:
  """First minus second; `p` is two-sided."""

  value: float
  low: float
  high: float
  p: float


def cross_validated_auc(
    labels: np.ndarray,
    scores: np.ndarray,
    folds: np.ndarray,
    *,
    confidence: float = CONFIDENCE,
) -> AucEstimate:
  """Mean AUC over folds and repetitions.

  The interval is symmetric in the logit of the AUC, so that it stays inside
  0..1. When the classes are separated in every fold it has no width: then
  nothing in the data tells how lucky that was.

  Args:
    labels: [num_users] of 0 and 1.
    scores: [num_repetitions, num_users], each made without that user's label.
    folds: [num_repetitions, num_users] int, the fold that tested the user.
    confidence: of the interval.

  Raises:
    ValueError: if shapes disagree, a score is not finite, or a fold lacks one
      of the classes.
  """
  labels = np.asarray(labels)
  scores, folds = np.atleast_2d(scores), np.atleast_2d(folds)
  if scores.shape != folds.shape or scores.shape[1:] != labels.shape:
    raise ValueError(
        f"labels {labels.shape}, scores {scores.shape} and folds {folds.shape}"
        " do not fit"
    )
  if not np.isin(labels, (0, 1)).all():
    raise ValueError("labels must be 0 or 1")
  if not np.isfinite(scores).all():
    raise ValueError("scores must be finite")
  values = []
  influence = np.zeros(labels.size)
  for row, fold_row in zip(scores, folds, strict=True):
    names = np.unique(fold_row)
    for fold in names:
      users = np.flatnonzero(fold_row == fold)
      auc, part = _fold_auc(labels[users] == 1, row[users])
      values.append(auc)
      # A fold's AUC is one of many in the mean, but its users are as many
      # times fewer than all: the weight of an influence is near 1.
      weight = labels.size / (users.size * names.size)
      influence[users] += weight * part / len(scores)
  value = float(np.mean(values))
  low, high = _logit_interval(value, _standard_error(influence), confidence)
  return AucEstimate(value, low, high, influence)


def auc_difference(
    first: AucEstimate,
    second: AucEstimate,
    *,
    confidence: float = CONFIDENCE,
) -> AucDifference:
  """Paired z test of two estimates on the same users in the same order.

  Raises:
    ValueError: if the numbers of users differ.
  """
  if first.influence.shape != second.influence.shape:
    raise ValueError(
        f"{first.influence.size} and {second.influence.size} users cannot be"
        " paired"
    )
  value = first.value - second.value
  error = _standard_error(first.influence - second.influence)
  margin = float(stats.norm.ppf((1 + confidence) / 2)) * error
  if error > 0:
    p = float(2 * stats.norm.sf(abs(value) / error))
  else:
    p = 1.0 if value == 0 else 0.0
  return AucDifference(value, value - margin, value + margin, p)


def _fold_auc(
    positive: np.ndarray, scores: np.ndarray
) -> tuple[float, np.ndarray]:
  """AUC of one fold and the influences of its users, mean zero."""
  num_positive = int(positive.sum())
  num_negative = positive.size - num_positive
  if not num_positive or not num_negative:
    raise ValueError(
        f"a fold has {num_positive} users with label 1 and {num_negative} with"
        " label 0; AUC needs both"
    )
  ranks = stats.rankdata(scores)
  inner = np.empty(positive.size)
  inner[positive] = stats.rankdata(scores[positive])
  inner[~positive] = stats.rankdata(scores[~positive])
  # The share of the other class that each user is on the right side of.
  beaten = (ranks - inner) / np.where(positive, num_negative, num_positive)
  right = np.where(positive, beaten, 1 - beaten)
  auc = float(right[positive].mean())
  share = np.where(positive, num_positive, num_negative) / positive.size
  return auc, (right - auc) / share


def _standard_error(influence: np.ndarray) -> float:
  return math.sqrt(float(np.mean(influence**2)) / influence.size)


def _logit_interval(
    value: float, error: float, confidence: float
) -> tuple[float, float]:
  if not 0 < confidence < 1:
    raise ValueError(f"confidence is {confidence}, not between 0 and 1")
  if error == 0 or not 0 < value < 1:
    return value, value
  margin = stats.norm.ppf((1 + confidence) / 2) * error / (value * (1 - value))
  center = special.logit(value)
  low, high = special.expit([center - margin, center + margin])
  return float(low), float(high)
