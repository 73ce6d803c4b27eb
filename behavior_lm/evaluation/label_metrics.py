"""How well labels are predicted while training: figures of scikit-learn.

Intervals and paired tests of finished models are in `classification`. All
functions take the known labels alone; `label_figures` leaves the others
out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn import metrics

from behavior_lm.evaluation.classification import best_threshold
from behavior_lm.objectives.labels import BINARY
from behavior_lm.objectives.labels import MULTI_CLASS
from behavior_lm.objectives.labels import MULTI_LABEL
from behavior_lm.objectives.labels import split
from behavior_lm.objectives.labels import Target

# Probabilities are kept so far from 0 and 1 in log losses.
_EDGE = 1e-7

Figures = dict[str, float]


def binary_figures(
    truth: np.ndarray, scores: np.ndarray, threshold: float | None = None
) -> Figures:
  """Figures of a binary label.

  Args:
    truth: [n] of 0 and 1.
    scores: [n] probabilities.
    threshold: for `f1` and `accuracy`; None takes the best of these very rows
      for F1, which flatters: choose it on validation rows.

  Returns:
    auc, average_precision, f1, accuracy, log_loss, brier, threshold. AUC and
    average precision are NaN where only one class is there.
  """
  if threshold is None:
    threshold = best_threshold(truth, scores)
  said = scores >= threshold
  both = 0 < truth.sum() < len(truth)
  nan = float("nan")
  return {
      "auc": metrics.roc_auc_score(truth, scores) if both else nan,
      "average_precision": (
          metrics.average_precision_score(truth, scores) if both else nan
      ),
      "f1": metrics.f1_score(truth, said, zero_division=0.0),
      "accuracy": metrics.accuracy_score(truth, said),
      "log_loss": _log_loss(np.stack([1 - scores, scores], 1), truth),
      "brier": float(np.mean((scores - truth) ** 2)),
      "threshold": threshold,
  }


def multi_class_figures(truth: np.ndarray, scores: np.ndarray) -> Figures:
  """Figures of classes [n] and probabilities [n, classes]."""
  said = scores.argmax(1)
  # Of a class before the true one that scores the same, the true one is behind.
  of_truth = np.take_along_axis(scores, truth[:, None].astype(int), 1)
  rank = (scores > of_truth).sum(1)
  return {
      "accuracy": metrics.accuracy_score(truth, said),
      "top3": float((rank < 3).mean()),
      "macro_f1": metrics.f1_score(
          truth, said, average="macro", zero_division=0.0
      ),
      "log_loss": _log_loss(scores, truth),
  }


def multi_label_figures(truth: np.ndarray, scores: np.ndarray) -> Figures:
  """Figures of sets [n, classes] and probabilities of the same shape.

  Means over the classes that have both values; log loss is over all.
  """
  both = [k for k in range(truth.shape[1]) if 0 < truth[:, k].mean() < 1]
  mean = lambda of: float(
      np.mean([of(truth[:, k], scores[:, k]) for k in both])
      if both
      else np.nan
  )
  pairs = np.stack([1 - scores, scores], -1).reshape(-1, 2)
  return {
      "auc": mean(metrics.roc_auc_score),
      "average_precision": mean(metrics.average_precision_score),
      "micro_f1": metrics.f1_score(
          truth, scores >= 0.5, average="micro", zero_division=0.0
      ),
      "log_loss": _log_loss(pairs, truth.reshape(-1)),
  }


def regression_figures(truth: np.ndarray, scores: np.ndarray) -> Figures:
  """Figures of numbers [n]."""
  return {
      "mean_absolute_error": metrics.mean_absolute_error(truth, scores),
      "root_mean_squared_error": metrics.root_mean_squared_error(truth, scores),
      "r2": metrics.r2_score(truth, scores) if len(truth) > 1 else float("nan"),
  }


def label_figures(
    targets: Sequence[Target],
    labels: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    thresholds: Mapping[str, float] | None = None,
) -> Figures:
  """Figures of all labels.

  Args:
    targets: the labels.
    labels: [n, columns] with missing ones, see `objectives.labels`.
    predicted: {name: [n, ...]}, as `objectives.labels.predictions` gives them;
      rows of NaN were not predicted.
    thresholds: of binary labels, by name.

  Returns:
    {figure: value} for one label, {"NAME/figure": value} for several; and how
    many rows of each are known.
  """
  found: Figures = {}
  # Columns alone are wanted.
  no_outputs = np.zeros((1, sum(target.outputs for target in targets)))
  for target, _, columns in split(targets, no_outputs, labels):
    scores = np.asarray(predicted[target.name], np.float64)
    known = ~np.isnan(columns).any(1)
    if target.kind in (BINARY, MULTI_CLASS, MULTI_LABEL):
      known &= (columns >= 0).all(1)
    known &= np.isfinite(scores.reshape(len(scores), -1)).all(1)
    truth, scores = columns[known], scores[known]
    figures: Figures = {"rows": float(known.sum())}
    if known.any():
      figures |= _of_kind(target, truth, scores, thresholds or {})
    prefix = f"{target.name}/" if len(targets) > 1 else ""
    found |= {f"{prefix}{name}": float(x) for name, x in figures.items()}
  return found


def _of_kind(
    target: Target,
    truth: np.ndarray,
    scores: np.ndarray,
    thresholds: Mapping[str, float],
) -> Figures:
  if target.kind == BINARY:
    return binary_figures(truth[:, 0], scores, thresholds.get(target.name))
  if target.kind == MULTI_CLASS:
    return multi_class_figures(truth[:, 0], scores)
  if target.kind == MULTI_LABEL:
    return multi_label_figures(truth, scores)
  return regression_figures(truth[:, 0], scores)


def _log_loss(probabilities: np.ndarray, truth: Any) -> float:
  """Nats per row of classes [n], probabilities [n, classes]."""
  of_truth = np.take_along_axis(
      probabilities, np.asarray(truth)[:, None].astype(int), 1
  )
  return float(-np.log(np.clip(of_truth, _EDGE, 1.0)).mean())
