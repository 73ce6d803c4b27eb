"""Ranking metrics of one held-out item a user: HR, NDCG, MRR and beyond.

With one relevant item at rank r (from 1), of all items that are not filtered:

  HR@k    1 if r <= k
  NDCG@k  1 / log2(r + 1) if r <= k
  MRR@k   1 / r if r <= k

each the mean over users, 0 where the item is not found. Equal scores are
ranked by the number of the item, so that a model that scores all items alike
gains nothing by the ties.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import math

import numpy as np

# A user with fewer events of training is cold; the most active fifth is head.
COLD_EVENTS = 5
HEAD_SHARE = 0.2
MEASURES = ("hr", "ndcg", "mrr")


def ranking_columns(k: int) -> tuple[dict[str, str], ...]:
  """Columns of `artifacts.evaluation` for `Ranking.summary`."""
  shown = (
      (f"hr@{k}", f"HR@{k}", ".4f", "high"),
      (f"ndcg@{k}", f"NDCG@{k}", ".4f", "high"),
      (f"mrr@{k}", f"MRR@{k}", ".4f", "high"),
      (f"coverage@{k}", "coverage", ".1%", "high"),
      (f"novelty@{k}", "novelty, bits", ".2f", "high"),
      (f"popularity@{k}", "popularity, events", ".1f", "low"),
      (f"ndcg@{k}_head", f"NDCG@{k}, head users", ".4f", "high"),
      (f"ndcg@{k}_tail", f"NDCG@{k}, tail users", ".4f", "high"),
      (f"ndcg@{k}_cold", f"NDCG@{k}, cold users", ".4f", "high"),
  )
  names = ("name", "title", "format", "better")
  return tuple(dict(zip(names, one, strict=True)) for one in shown)


@dataclasses.dataclass(frozen=True)
class Ranking:
  """Where each user's held-out item was ranked, and what came first.

  Attributes:
    users: [n] raw ids.
    ranks: [n] int64, from 1; 0 is an item that cannot be recommended: unknown
      to the model, or seen before while seen items are filtered.
    top: [n, k] int64 items that came first; -1 where there are fewer.
    counts: [num_items] occurrences in training.
    history: [n] events of the user that the model could read.
    k: of the metrics.
  """

  users: np.ndarray
  ranks: np.ndarray
  top: np.ndarray
  counts: np.ndarray
  history: np.ndarray
  k: int

  def values(self, measure: str) -> np.ndarray:
    """[n] of "hr", "ndcg" or "mrr"."""
    rank = np.maximum(self.ranks, 1).astype(np.float64)
    gain = {
        "hr": np.ones_like(rank),
        "ndcg": 1 / np.log2(rank + 1),
        "mrr": 1 / rank,
    }[measure]
    found = (self.ranks > 0) & (self.ranks <= self.k)
    return np.where(found, gain, 0.0)

  @property
  def ratios(self) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """Sums and weights by user of each mean, see `table.Scores`."""
    ones = np.ones(len(self.ranks))
    return {f"{m}@{self.k}": (self.values(m), ones) for m in MEASURES}

  @property
  def groups(self) -> dict[str, np.ndarray]:
    """[n] bool of each group of users, by the length of their history."""
    cold = self.history < COLD_EVENTS
    border = np.quantile(self.history, 1 - HEAD_SHARE)
    head = ~cold & (self.history >= border)
    return {"head": head, "tail": ~cold & ~head, "cold": cold}

  def summary(self) -> dict[str, float]:
    """All figures; those of an empty group of users are NaN.

    `coverage` is the share of all items that some user was recommended,
    `novelty` the mean of -log2 of the share of training's events that a
    recommended item has, `popularity` its mean number of events.
    """
    k = self.k
    out = {f"{m}@{k}": float(self.values(m).mean()) for m in MEASURES}
    shown = self.top[:, :k][self.top[:, :k] >= 0]
    share = self.counts / max(self.counts.sum(), 1)
    known = np.maximum(share[shown], 1e-12)
    mean = lambda x: float(x.mean()) if len(x) else math.nan
    out |= {
        f"coverage@{k}": len(np.unique(shown)) / max(len(self.counts), 1),
        f"novelty@{k}": mean(-np.log2(known)),
        f"popularity@{k}": mean(self.counts[shown]),
    }
    for name, chosen in self.groups.items():
      for m in ("hr", "ndcg"):
        out[f"{m}@{k}_{name}"] = mean(self.values(m)[chosen])
    return out


def rank_items(
    scores: np.ndarray,
    targets: np.ndarray,
    dropped: Sequence[np.ndarray],
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Ranks of targets among the items that are not dropped, and the top k.

  Args:
    scores: [n, num_items]; -inf is never recommended.
    targets: [n] item of each user; -1 is none of these.
    dropped: items of each user that are not candidates; they may repeat.
    k: of the list.

  Returns:
    [n] int64 ranks from 1, 0 for a target that is no candidate; [n, k] int64
    items, the best first, -1 where there are fewer candidates.

  Raises:
    ValueError: if a score is NaN.
  """
  scores = np.array(scores, copy=True)
  if np.isnan(scores).any():
    raise ValueError("scores hold NaN: they cannot be ranked")
  for row, items in enumerate(dropped):
    scores[row, items] = -np.inf
  rows = np.arange(len(scores))
  own = scores[rows, np.maximum(targets, 0)][:, None]
  earlier = np.arange(scores.shape[1]) < targets[:, None]
  better = (scores > own) | ((scores == own) & earlier)
  ranks = 1 + better.sum(1)
  possible = (targets >= 0) & np.isfinite(own[:, 0])
  return np.where(possible, ranks, 0), top_items(scores, k)


def top_items(scores: np.ndarray, k: int) -> np.ndarray:
  """[n, num_items] -> [n, k] the best first; ties go by number, -1 is none."""
  number = scores.shape[1]
  kept = min(k, number)
  best = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
  values = np.take_along_axis(scores, best, 1)
  # Which of several equal scores a partition takes is not said.
  lowest = values.min(1, keepdims=True)
  tied = (scores == lowest).sum(1) > (values == lowest).sum(1)
  if tied.any():
    order = np.argsort(-scores[tied], axis=1, kind="stable")[:, :kept]
    best[tied] = order
    values = np.take_along_axis(scores, best, 1)
  order = np.lexsort((best, -values), axis=-1)
  best = np.take_along_axis(best, order, 1)
  values = np.take_along_axis(values, order, 1)
  top = np.full((len(scores), k), -1, np.int64)
  top[:, :kept] = np.where(np.isfinite(values), best, -1)
  return top


def draw_negatives(
    targets: np.ndarray,
    seen: Sequence[np.ndarray],
    num_items: int,
    number: int,
    seed: int,
) -> list[np.ndarray]:
  """For each user, uniform items that are neither seen nor the target.

  Args:
    targets: [n]; -1 is none.
    seen: items of each user.
    num_items: of the vocabulary.
    number: of negatives; fewer where fewer items are left.
    seed: of the draw.
  """
  rng = np.random.default_rng(seed)
  out = []
  for target, items in zip(targets, seen, strict=True):
    free = np.ones(num_items, bool)
    free[items] = False
    if target >= 0:
      free[target] = False
    left = np.flatnonzero(free)
    out.append(rng.choice(left, min(number, len(left)), replace=False))
  return out
