"""Probes: how well do simple models read a label off a user's features?

Cross-validated by user, several times. Everything that is learned (columns,
scale, strength of the penalty) is learned on the training folds alone.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GridSearchCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from behavior_lm.baselines.counts import top_counts
from behavior_lm.baselines.counts import UserFeatures
from behavior_lm.downstream import auc

NUM_FOLDS = 5
INNER_FOLDS = 3
SEEDS = (0, 1, 2)
# Strengths tried by the inner folds; small is strong. Columns are scaled.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
NUM_TREES = 300
THRESHOLD = 0.5

EMBEDDING = "embedding"
COUNTS = "event counts"
GAPS = "gaps"
# A block makes [num_users, columns] for all users, given the training rows.
Block = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Probe:
  """Which blocks of features go into which model."""

  blocks: tuple[str, ...]
  forest: bool = False

  @property
  def model(self) -> str:
    return "random forest" if self.forest else "logistic regression"


PROBES = {
    EMBEDDING: Probe((EMBEDDING,)),
    COUNTS: Probe((COUNTS,)),
    "event counts + gaps": Probe((COUNTS, GAPS)),
    "embedding + event counts": Probe((EMBEDDING, COUNTS)),
    "event counts (random forest)": Probe((COUNTS,), forest=True),
    "event counts + gaps (random forest)": Probe((COUNTS, GAPS), forest=True),
}
# What every other row is tested against.
REFERENCE = COUNTS


def make_blocks(
    features: UserFeatures, vectors: np.ndarray
) -> dict[str, Block]:
  """Blocks of the same users in the same order.

  Args:
    features: event counts and gaps.
    vectors: [num_users, embed_dim].
  """
  if len(features.users) != len(vectors):
    raise ValueError(f"{len(features.users)} users, {len(vectors)} vectors")
  return {
      EMBEDDING: lambda rows: vectors,
      COUNTS: lambda rows: top_counts(features.counts, rows),
      GAPS: lambda rows: features.gaps,
  }


def why_not(labels: np.ndarray, num_folds: int = NUM_FOLDS) -> str:
  """Why these 0/1 labels cannot be probed; empty if they can.

  Each training fold is folded again to choose the penalty.
  """
  needed = max(num_folds, -(-INNER_FOLDS * num_folds // (num_folds - 1)))
  for value in (0, 1):
    number = int((labels == value).sum())
    if number < needed:
      return (
          f"{number} users have {value}, and {num_folds} folds take at least"
          f" {needed} of each"
      )
  return ""


def run_probes(
    labels: np.ndarray,
    blocks: Mapping[str, Block],
    *,
    probes: Mapping[str, Probe] = PROBES,
    num_folds: int = NUM_FOLDS,
    seeds: Sequence[int] = SEEDS,
    progress: Callable[[str], None] = lambda name: None,
) -> list[dict[str, Any]]:
  """Cross-validates each probe on the same folds.

  Args:
    labels: [num_users] of 0 and 1.
    blocks: features of the same users, by name.
    probes: what to fit; must hold REFERENCE.
    num_folds: stratified by label.
    seeds: one repetition each, with other folds.
    progress: called with the name of each probe before it starts.

  Returns:
    One row a probe: features, model, auc, auc_ci, f1 (at probability .5, mean
    over repetitions), folds, seeds, num_users, num_positive and
    p_vs_event_counts (paired, two-sided; None for the reference itself).

  Raises:
    ValueError: if a class has too few users (see `why_not`).
  """
  labels = np.asarray(labels).astype(np.int64)
  reason = why_not(labels, num_folds)
  if reason:
    raise ValueError(reason)
  folds = np.stack([_folds(labels, num_folds, seed) for seed in seeds])
  estimates: dict[str, auc.AucEstimate] = {}
  rows: list[dict[str, Any]] = []
  for name, probe in probes.items():
    progress(name)
    scores = np.stack([
        _out_of_fold(probe, blocks, labels, row, seed)
        for row, seed in zip(folds, seeds, strict=True)
    ])
    estimates[name] = auc.cross_validated_auc(labels, scores, folds)
    f1 = [f1_score(labels, row >= THRESHOLD, zero_division=0) for row in scores]
    rows.append({
        "features": name,
        "model": probe.model,
        "auc": estimates[name].value,
        "auc_ci": [estimates[name].low, estimates[name].high],
        "f1": float(np.mean(f1)),
        "folds": num_folds,
        "seeds": list(seeds),
        "num_users": int(labels.size),
        "num_positive": int(labels.sum()),
    })
  for row in rows:
    row["p_vs_event_counts"] = None
    if row["features"] != REFERENCE:
      row["p_vs_event_counts"] = auc.auc_difference(
          estimates[row["features"]], estimates[REFERENCE]
      ).p
  return rows


def _folds(labels: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
  """[num_users] int, the fold that tests each user."""
  splitter = StratifiedKFold(num_folds, shuffle=True, random_state=seed)
  out = np.zeros(labels.size, np.int64)
  for fold, (_, tested) in enumerate(splitter.split(labels, labels)):
    out[tested] = fold
  return out


def _out_of_fold(
    probe: Probe,
    blocks: Mapping[str, Block],
    labels: np.ndarray,
    folds: np.ndarray,
    seed: int,
) -> np.ndarray:
  """Probabilities of label 1, each by a model that never saw the user."""
  out = np.zeros(labels.size)
  for fold in np.unique(folds):
    train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
    matrix = np.hstack([blocks[name](train) for name in probe.blocks])
    model = _make_model(probe, seed).fit(matrix[train], labels[train])
    out[test] = model.predict_proba(matrix[test])[:, 1]
  return out


def _make_model(probe: Probe, seed: int) -> Any:
  if probe.forest:
    return RandomForestClassifier(NUM_TREES, random_state=seed)
  return GridSearchCV(
      make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000)),
      {"logisticregression__C": STRENGTHS},
      scoring="roc_auc",
      cv=StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=seed),
  )
