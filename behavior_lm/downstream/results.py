"""Scores of rows -> the record of `artifacts.downstream`."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from behavior_lm.data.samples.sample_columns import BINARY
from behavior_lm.downstream.blocks import BASELINE
from behavior_lm.downstream.cross_validation import Scores
from behavior_lm.evaluation import classification
from behavior_lm.evaluation.classification import Predictions


@dataclasses.dataclass(frozen=True)
class Truth:
  """What predictions are compared with.

  Attributes:
    kind: of the label.
    labels: [n] or [n, labels].
    users: [n] user ids or codes.
  """

  kind: str
  labels: np.ndarray
  users: np.ndarray


def measure(truth: Truth, found: Scores) -> classification.Metrics:
  """Metrics of a row on all users and on resampled ones."""
  return classification.measure(predictions(truth, found))


def predictions(truth: Truth, found: Scores) -> Predictions:
  """The tested rows alone, which a split by time leaves few of."""
  tested = np.flatnonzero((found.folds >= 0).any(axis=0))
  _, users = np.unique(truth.users[tested], return_inverse=True)
  return Predictions(
      kind=truth.kind,
      labels=truth.labels[tested],
      scores=found.scores[:, tested],
      decisions=found.decisions[:, tested] if truth.kind == BINARY else None,
      folds=found.folds[:, tested],
      users=users,
  )


def make_rows(
    truth: Truth, scores: Mapping[str, tuple[str, Scores]]
) -> tuple[list[dict[str, Any]], str]:
  """Rows of the record, and the name of the best baseline.

  Args:
    truth: of the rows.
    scores: {name: (group, scores)}; at least one is a baseline.

  Returns:
    The rows in their order. Differences are row minus best baseline in the
    main metric, on the same draws of users.
  """
  main = classification.MAIN[truth.kind]
  metrics = {
      name: measure(truth, found) for name, (_, found) in scores.items()
  }
  baselines = [name for name in scores if scores[name][0] == BASELINE]
  best = max(baselines, key=lambda name: metrics[name][main][0])
  rows = []
  for name, (group, found) in scores.items():
    difference = p = None
    if name != best:
      change = classification.difference(
          metrics[name][main], metrics[best][main]
      )
      difference = [change.value, change.low, change.high]
      p = change.p
    rows.append({
        "name": name,
        "group": group,
        "metrics": values(metrics[name]),
        "difference": difference,
        "p": p,
        "calibration": _calibration(truth, found),
        "seconds": round(found.seconds, 1),
    })
  return rows, best


def values(metrics: classification.Metrics) -> dict[str, list[float]]:
  """{metric: [value, low, high]}."""
  out = {}
  for name, draws in metrics.items():
    found = classification.estimate(draws)
    out[name] = [found.value, *found.interval]
  return out


def curve_row(
    size: int, name: str, truth: Truth, found: Scores
) -> dict[str, Any]:
  """One point of a train-size curve."""
  return {"size": size, "name": name, "metrics": values(measure(truth, found))}


def _calibration(truth: Truth, found: Scores) -> list[dict[str, Any]]:
  if truth.kind != BINARY:
    return []
  one = predictions(truth, found)
  tested = one.folds >= 0
  labels = np.broadcast_to(one.labels, one.folds.shape)
  return classification.calibration(labels[tested], one.scores[tested])


def separable(names: Sequence[str], matrix: np.ndarray) -> dict[str, Any]:
  """{name: column} of a matrix."""
  return {name: matrix[:, place] for place, name in enumerate(names)}
