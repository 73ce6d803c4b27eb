"""What a ranker must beat: logistic regression and boosted trees.

Both are fitted on training rows alone. Logistic regression has a weight per
category; the trees read the smoothed share of clicks of each category, which
for a training row leaves the row itself out, and the numbers of the row.
"""

from collections.abc import Mapping

import numpy as np
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from behavior_lm.data.features.actions import COUNTS
from behavior_lm.data.features.requests import RequestRows
from behavior_lm.data.features.space import DENSE_ARRAY
from behavior_lm.data.features.space import IDS_ARRAY

# Rows that the prior of a share is worth.
_PRIOR_ROWS = 5.0
_MAX_ITERATIONS = 300


def logistic_regression(
    train: RequestRows,
    others: Mapping[str, RequestRows],
    head: int = 0,
    *,
    inverse_penalty: float = 1.0,
) -> dict[str, np.ndarray]:
  """One-hot categories and numbers.

  Args:
    train: the rows to fit on.
    others: {name: rows to score}.
    head: place of the label.
    inverse_penalty: C of scikit-learn.

  Returns:
    {name: [n] probabilities}.
  """
  known = ~np.isnan(train.labels[:, head])
  size = 1 + max(
      int(rows.arrays[IDS_ARRAY].max(initial=0))
      for rows in (train, *others.values())
  )
  seen = np.zeros(size, bool)
  seen[train.arrays[IDS_ARRAY].reshape(-1)] = True

  def features(rows: RequestRows) -> sparse.csr_matrix:
    ids = rows.arrays[IDS_ARRAY]
    at = np.repeat(np.arange(len(ids)), ids.shape[1])
    # A category that training never met has no weight.
    ones = seen[ids.reshape(-1)].astype(np.float64)
    hot = sparse.csr_matrix(
        (ones, (at, ids.reshape(-1))), shape=(len(ids), size)
    )
    return sparse.hstack([hot, rows.arrays[DENSE_ARRAY]]).tocsr()

  model = LogisticRegression(C=inverse_penalty, max_iter=_MAX_ITERATIONS)
  model.fit(features(train)[known], train.labels[known, head])
  return {
      name: model.predict_proba(features(rows))[:, 1]
      for name, rows in others.items()
  }


def boosted_trees(
    train: RequestRows,
    others: Mapping[str, RequestRows],
    head: int = 0,
    *,
    counts: bool = True,
    seed: int = 0,
) -> dict[str, np.ndarray]:
  """Gradient boosting of shares of clicks, numbers and counts of actions.

  Args:
    train: the rows to fit on.
    others: {name: rows to score}.
    head: place of the label.
    counts: read how often the user did what before the request.
    seed: of the split for early stopping.

  Returns:
    {name: [n] probabilities}.
  """
  known = np.flatnonzero(~np.isnan(train.labels[:, head]))
  labels = train.labels[known, head]
  ids = train.arrays[IDS_ARRAY][known]
  size = 1 + max(
      int(rows.arrays[IDS_ARRAY].max(initial=0))
      for rows in (train, *others.values())
  )
  shown = np.stack([np.bincount(c, minlength=size) for c in ids.T])
  clicked = np.stack([np.bincount(c, labels, minlength=size) for c in ids.T])
  prior = labels.mean()

  def shares(rows: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    found = []
    for place, column in enumerate(rows.T):
      n, k = shown[place][column], clicked[place][column]
      if own is not None:
        n, k = n - 1, k - own
      found += [(k + _PRIOR_ROWS * prior) / (n + _PRIOR_ROWS), np.log1p(n)]
    return np.stack(found, 1) if found else np.zeros((len(rows), 0))

  def features(
      rows: RequestRows, at: np.ndarray, own: np.ndarray | None
  ) -> np.ndarray:
    batch = rows.batch(at)
    parts = [shares(batch[IDS_ARRAY], own), batch[DENSE_ARRAY]]
    if counts and COUNTS in batch:
      of_type = batch[COUNTS]
      parts += [of_type, of_type / (of_type.sum(1, keepdims=True) + 1)]
    return np.concatenate(parts, 1)

  model = HistGradientBoostingClassifier(
      max_iter=100,
      learning_rate=0.1,
      max_leaf_nodes=15,
      early_stopping=True,
      random_state=seed,
  )
  model.fit(features(train, known, labels), labels)
  return {
      name: model.predict_proba(features(rows, np.arange(len(rows)), None))[
          :, 1
      ]
      for name, rows in others.items()
  }
