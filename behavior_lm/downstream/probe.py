"""Probes: how well do simple models read a label off a user's features?

Cross-validated by user, several times. Everything that is learned (columns,
scale, strength of the penalty) is learned on the training folds alone.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from behavior_lm.baselines.counts import top_counts
from behavior_lm.baselines.counts import UserFeatures
from behavior_lm.data.samples.sample_columns import BINARY
from behavior_lm.downstream import auc
from behavior_lm.downstream import blocks as block_lib
from behavior_lm.downstream import models
from behavior_lm.downstream.blocks import Block

NUM_FOLDS = 5
INNER_FOLDS = 3
SEEDS = (0, 1, 2)

EMBEDDING = "embedding"
COUNTS = "event counts"
GAPS = "gaps"
# The scores [num_users] of one repetition, and whether each reached the
# threshold that was chosen on validation users.
Scored = tuple[np.ndarray, np.ndarray]
# Looks for a finished repetition by (name, seed), and keeps one.
Find = Callable[[str, int], Scored | None]
Keep = Callable[[str, int, Scored], None]


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
    find: Find = lambda name, seed: None,
    keep: Keep = lambda name, seed, scored: None,
) -> list[dict[str, Any]]:
  """Cross-validates each probe on the same folds.

  Args:
    labels: [num_users] of 0 and 1.
    blocks: features of the same users, by name.
    probes: what to fit; must hold REFERENCE.
    num_folds: stratified by label.
    seeds: one repetition each, with other folds.
    progress: called with the name of each probe and seed before it starts.
    find: a repetition that an earlier run finished, or None.
    keep: called with each repetition that is finished now.

  Returns:
    One row per probe: features, model, auc, auc_ci, f1 (at thresholds from
    validation users, mean over repetitions), folds, seeds, num_users,
    num_positive and p_vs_event_counts (paired, two-sided; None for the
    reference itself).

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
    scored = []
    for row, seed in zip(folds, seeds, strict=True):
      progress(f"{name}, seed {seed}")
      there = find(name, seed)
      if there is None:
        there = _out_of_fold(probe, blocks, labels, row, seed)
        keep(name, seed, there)
      scored.append(there)
    scores = np.stack([one for one, _ in scored])
    estimates[name] = auc.cross_validated_auc(labels, scores, folds)
    f1 = [f1_score(labels, chosen, zero_division=0) for _, chosen in scored]
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
) -> Scored:
  """Probabilities of label 1, each by a model that never saw the user."""
  out, chosen = np.zeros(labels.size), np.zeros(labels.size, bool)
  for fold in np.unique(folds):
    train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
    matrix = block_lib.join(blocks, probe.blocks, train)
    found = models.fit_and_score(
        models.FOREST if probe.forest else models.LOGISTIC,
        BINARY,
        matrix[train],
        labels[train],
        matrix[test],
        seed=seed,
    )
    out[test] = found.scores
    chosen[test] = found.scores >= found.threshold
  return out, chosen
