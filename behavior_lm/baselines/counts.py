"""Plain features of a user: how often which event, and how fast.

No date, no absolute time: in sampled logs these give labels away that are not
behaviour. What needs more than one user (which events have a column) is chosen
on training users alone, see `top_counts`.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np
from scipy import sparse

GAP_QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
# Quantiles, mean and deviation of log gaps, share of events in a tie.
NUM_GAP_FEATURES = len(GAP_QUANTILES) + 3

MAX_COLUMNS = 1_000


@dataclasses.dataclass(frozen=True)
class UserFeatures:
  """Features of users, rows in the order of `users`.

  Attributes:
    users: user ids, sorted.
    num_events: [num_users] int64.
    counts: [num_users, num_columns] float32 CSR, occurrences of each event.
    gaps: [num_users, NUM_GAP_FEATURES] float32; seconds, in log1p.
  """

  users: list[str]
  num_events: np.ndarray
  counts: sparse.csr_array
  gaps: np.ndarray

  def take(self, rows: np.ndarray) -> "UserFeatures":
    """These users, in this order."""
    return UserFeatures(
        [self.users[row] for row in rows],
        self.num_events[rows],
        self.counts[rows],
        self.gaps[rows],
    )


def build_user_features(
    sequences: Iterable[Mapping[str, Any]],
    column_of_pair: Sequence[int] | np.ndarray,
) -> UserFeatures:
  """Gathers all sequences of each user, whatever their order.

  Memory holds the gaps of all events (4 bytes each) and the counts.

  Args:
    sequences: with user_id, pair [n] int and timestamp [n] int64
      microseconds, like the items of a dataset's source.
    column_of_pair: [num_pairs] int, the column that counts a pair: the row
      number to count pairs, the number of its event to count events.

  Returns:
    Features of every user that has events. Gaps are inside sequences, never
    across two of them.

  Raises:
    ValueError: if no sequence has an event.
  """
  columns = np.asarray(column_of_pair, np.int64)
  num_columns = int(columns.max()) + 1 if columns.size else 0
  counts: dict[str, dict[int, int]] = {}
  gaps: dict[str, list[np.ndarray]] = {}
  for sequence in sequences:
    pairs = np.asarray(sequence["pair"], np.int64)
    if not pairs.size:
      continue
    user = sequence["user_id"]
    seen, times = np.unique(columns[pairs], return_counts=True)
    mine = counts.setdefault(user, {})
    for column, number in zip(seen.tolist(), times.tolist(), strict=True):
      mine[column] = mine.get(column, 0) + number
    seconds = np.diff(np.asarray(sequence["timestamp"], np.int64)) / 1e6
    gaps.setdefault(user, []).append(seconds.astype(np.float32))
  if not counts:
    raise ValueError("no sequence has an event, so there are no features")
  users = sorted(counts)
  starts = np.cumsum([0, *(len(counts[user]) for user in users)])
  matrix = sparse.csr_array(
      (
          np.concatenate(
              [np.fromiter(counts[user].values(), "f4") for user in users]
          ),
          np.concatenate(
              [np.fromiter(counts[user].keys(), "i4") for user in users]
          ),
          starts,
      ),
      shape=(len(users), num_columns),
  )
  matrix.sort_indices()
  return UserFeatures(
      users=users,
      num_events=np.asarray(matrix.sum(axis=1)).astype(np.int64),
      counts=matrix,
      gaps=np.stack([_gap_features(gaps[user]) for user in users]),
  )


def _gap_features(parts: list[np.ndarray]) -> np.ndarray:
  """[NUM_GAP_FEATURES] float32; a user without any gap gets zeros."""
  seconds = np.concatenate(parts)
  if not seconds.size:
    return np.zeros(NUM_GAP_FEATURES, np.float32)
  # Logs that are not sorted inside a sequence would give negative gaps.
  logs = np.log1p(np.maximum(seconds, 0))
  quantiles = np.quantile(logs, GAP_QUANTILES)
  rest = [logs.mean(), logs.std(), np.mean(seconds <= 0)]
  return np.concatenate([quantiles, rest]).astype(np.float32)


def top_counts(
    counts: sparse.csr_array,
    train_rows: np.ndarray,
    max_columns: int = MAX_COLUMNS,
) -> sparse.csr_array:
  """log1p of the counts of the events most frequent in the training rows.

  The rows under test choose nothing: an event that only they hold has no
  column.

  Args:
    counts: [num_users, num_columns].
    train_rows: row numbers of the training users.
    max_columns: at most so many events.

  Returns:
    [num_users, chosen columns] float32 CSR, all users.
  """
  total = np.asarray(counts[train_rows].sum(axis=0)).ravel()
  order = np.argsort(-total, kind="stable")[:max_columns]
  chosen = np.sort(order[total[order] > 0])
  out = counts[:, chosen].copy()
  out.data = np.log1p(out.data)
  return out
