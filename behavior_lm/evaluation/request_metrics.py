"""How well shown candidates are scored: by row, by user and by request.

AUC looks at all pairs of a row with the action and one without; UAUC is the
unweighted mean of the AUC of each user who has both, so that it does not gain
by knowing which users act often. HIT@k looks at the first k candidates of each
request, as TransAct's evaluation does (arXiv 2306.00248, section 4.2), and the
diversity of lists at how much alike these candidates are.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats
from sklearn import metrics

from behavior_lm.evaluation import classification

NUM_RESAMPLES = 1_000
# Probabilities are kept so far from 0 and 1 in log losses.
_EDGE = 1e-7


def group_numbers(keys: np.ndarray) -> np.ndarray:
  """[n] of any keys -> [n] int64 numbers, from 0."""
  numbers: np.ndarray = np.unique(np.asarray(keys), return_inverse=True)[1]
  return numbers.reshape(-1)


def auc_of_groups(
    labels: np.ndarray, scores: np.ndarray, groups: np.ndarray
) -> np.ndarray:
  """The AUC inside each group; ties count half.

  Args:
    labels: [n] of 0 and 1.
    scores: [n].
    groups: [n] int, 0 to the number of groups - 1.

  Returns:
    [groups] float64; NaN for a group that has one class alone.
  """
  labels, groups = np.asarray(labels) == 1, np.asarray(groups)
  if not len(groups):
    return np.zeros(0)
  # Groups apart by more than any two scores: ranks inside a group follow.
  dense = stats.rankdata(scores, method="dense")
  key = groups * (dense.max() + 1) + dense
  size = np.bincount(groups)
  start = np.cumsum(size) - size
  rank = stats.rankdata(key) - start[groups]
  positive = np.bincount(groups, labels)
  negative = size - positive
  ranks = np.bincount(groups, np.where(labels, rank, 0.0))
  with np.errstate(invalid="ignore", divide="ignore"):
    auc = (ranks - positive * (positive + 1) / 2) / (positive * negative)
  return np.where((positive > 0) & (negative > 0), auc, np.nan)


def uauc(
    labels: np.ndarray, scores: np.ndarray, users: np.ndarray
) -> float:
  """Mean AUC of the users who have both classes; NaN if there are none."""
  values = auc_of_groups(labels, scores, group_numbers(users))
  return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan


def hit_at_k(
    requests: np.ndarray,
    scores: np.ndarray,
    labels: Mapping[str, np.ndarray],
    k: int = 3,
) -> dict[str, float]:
  """Share of requests in whose first k candidates an action happened.

  Args:
    requests: [n] which request a candidate belongs to, any keys.
    scores: [n], the sum of weighted heads; equal ones go by their order.
    labels: {head: [n] of 0 and 1, NaN is no action}.
    k: of the list.

  Returns:
    {head: share}. Of a head that should be avoided, less is better.
  """
  groups, top = first_k(requests, scores, k)
  number = int(groups.max()) + 1
  return {
      head: float(
          np.mean(np.bincount(groups[top], values[top] == 1, number) > 0)
      )
      for head, values in labels.items()
  }


def first_k(
    requests: np.ndarray, scores: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
  """[n] numbers of requests, and the places of the first k rows of each."""
  groups = group_numbers(requests)
  order = np.lexsort((np.arange(len(scores)), -np.asarray(scores), groups))
  sizes = np.bincount(groups)
  start = np.cumsum(sizes) - sizes
  place = np.arange(len(order)) - start[groups[order]]
  return groups, order[place < k]


def diversity_at_k(
    requests: np.ndarray,
    scores: np.ndarray,
    categories: np.ndarray,
    recent: np.ndarray,
    k: int = 3,
) -> dict[str, float]:
  """How much alike the first k candidates of requests are.

  Args:
    requests, scores, k: see `hit_at_k`.
    categories: [n] int, of the candidate.
    recent: [n] bool, whether the user lately acted on that category.

  Returns:
    Means over requests: `entropy`, in nats, of the categories of the list;
    `repeats`, the share of its places whose category stands higher up too;
    `recent`, the share of its places with a category of a late action.
  """
  groups, top = first_k(requests, scores, k)
  own, number = groups[top], int(groups.max()) + 1
  size = np.bincount(own, minlength=number)
  pairs, counts = np.unique(
      np.stack([own, categories[top]]), axis=1, return_counts=True
  )
  share = counts / size[pairs[0]]
  entropy = np.bincount(pairs[0], -share * np.log(share), number)
  distinct = np.bincount(pairs[0], minlength=number)
  return {
      "entropy": float(entropy.mean()),
      "repeats": float(np.mean(1 - distinct / size)),
      "recent": float(np.mean(np.bincount(own, recent[top], number) / size)),
  }


def calibration_error(
    labels: np.ndarray, probabilities: np.ndarray, num_bins: int = 10
) -> float:
  """Mean distance of probability and share of 1, over bins of equal size."""
  bins = classification.calibration(labels, probabilities, num_bins)
  rows = sum(one["rows"] for one in bins)
  return float(
      sum(one["rows"] * abs(one["predicted"] - one["observed"]) for one in bins)
      / rows
  )


def row_figures(
    labels: np.ndarray, probabilities: np.ndarray, users: np.ndarray
) -> dict[str, float]:
  """Figures of one head.

  Args:
    labels: [n] of 0 and 1.
    probabilities: [n] of 1.
    users: [n] any keys.

  Returns:
    auc, uauc, log_loss (nats), calibration (mean probability / share of 1) and
    calibration_error. What one class alone leaves undefined is NaN.
  """
  labels = np.asarray(labels, np.float64)
  probabilities = np.asarray(probabilities, np.float64)
  both = 0 < labels.sum() < len(labels)
  return {
      "auc": float(metrics.roc_auc_score(labels, probabilities))
      if both
      else np.nan,
      "uauc": uauc(labels, probabilities, users),
      "log_loss": float(log_losses(labels, probabilities).mean()),
      "calibration": float(probabilities.mean() / labels.mean())
      if labels.any()
      else np.nan,
      "calibration_error": calibration_error(labels, probabilities),
  }


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
  """[n] nats."""
  p = np.clip(np.asarray(probabilities, np.float64), _EDGE, 1 - _EDGE)
  return -np.where(np.asarray(labels) == 1, np.log(p), np.log(1 - p))


def resampled(
    labels: np.ndarray,
    probabilities: np.ndarray,
    users: np.ndarray,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> dict[str, np.ndarray]:
  """AUC, UAUC and log loss on all users and on resampled ones.

  `classification.estimate` turns them into intervals and
  `classification.difference` into paired tests: equal seeds draw equal users.

  Returns:
    {metric: [1 + num_resamples]}, the value on all users first.
  """
  groups = group_numbers(users)
  number = int(groups.max()) + 1
  draws = classification.user_draws(number, num_resamples, seed)
  aucs = auc_of_groups(labels, probabilities, groups)
  known = np.isfinite(aucs)
  rows = np.bincount(groups).astype(np.float64)
  losses = np.bincount(groups, log_losses(labels, probabilities))
  block = max(1, (1 << 24) // len(groups))
  auc = np.concatenate([
      classification.weighted_auc(
          np.asarray(labels),
          np.asarray(probabilities),
          draws[first : first + block][:, groups],
      )
      for first in range(0, len(draws), block)
  ])
  with np.errstate(invalid="ignore", divide="ignore"):
    return {
        "auc": auc,
        "uauc": draws[:, known] @ aucs[known] / draws[:, known].sum(1),
        "log_loss": draws @ losses / (draws @ rows),
    }


def summary(
    labels: np.ndarray, probabilities: np.ndarray, users: np.ndarray
) -> dict[str, Any]:
  """`row_figures` with 95 % intervals of those that are resampled, as JSON."""
  out: dict[str, Any] = dict(row_figures(labels, probabilities, users))
  draws = resampled(labels, probabilities, users)
  intervals = {
      name: classification.estimate(values).interval
      for name, values in draws.items()
  }
  return out | {"ci": intervals}
