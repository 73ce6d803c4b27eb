"""Looks for what a model could not know when it predicts.

Three things are errors: an event at or after the time of its row, a user in
both sides of a split by user, and a training row at or after a tested one in a
split by time. One thing is reported: a single column that separates the
classes by itself, such as a date where the classes were drawn from different
days. Such a column is no behaviour, even where no row of it is in the future.
"""

from collections.abc import Mapping
import dataclasses

import numpy as np
from scipy import stats

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import END_OF_HISTORY

# An AUC of one column from which on it is named. Columns of time say how rows
# were drawn, so that less of them is suspicious than of behaviour.
SUSPICIOUS_TIME = 0.70
SUSPICIOUS_FEATURE = 0.95


@dataclasses.dataclass(frozen=True)
class Suspicion:
  """A column and the AUC that it has alone, .5 to 1."""

  column: str
  auc: float
  why: str

  def text(self) -> str:
    return f"{self.column} alone has AUC {self.auc:.3f}: {self.why}"


def check_before(stamps: np.ndarray, time: int, user: str) -> None:
  """Raises UserError if an event is not strictly before the row's time."""
  if time != END_OF_HISTORY and len(stamps) and int(stamps[-1]) >= time:
    raise UserError(
        f"leak: user {user!r} has an event at {int(stamps[-1])} in a history"
        f" that ends before {time} (microseconds UTC)."
    )


def check_users(
    train: np.ndarray, test: np.ndarray, users: np.ndarray
) -> None:
  """Raises UserError if a user is in both sides.

  Args:
    train, test: row numbers.
    users: [n] user ids or codes.
  """
  both = np.intersect1d(users[train], users[test])
  if len(both):
    raise UserError(
        f"leak: {len(both)} users are in train and in test, the first one is"
        f" {both[0]!r}. Split by user, or give files without common users."
    )


def check_times(
    train: np.ndarray, test: np.ndarray, times: np.ndarray
) -> None:
  """Raises UserError if a training row is at or after a tested row."""
  if times[train].max() >= times[test].min():
    raise UserError(
        f"leak: a training row is at {times[train].max()}, a tested one at"
        f" {times[test].min()} (microseconds UTC). Split by time."
    )


def suspicious(
    labels: np.ndarray,
    columns: Mapping[str, np.ndarray],
    limit: float,
    why: str,
) -> list[Suspicion]:
  """Columns that alone separate 0 from 1 to at least `limit`.

  Args:
    labels: [n] of 0 and 1.
    columns: {name: [n] numbers}; NaN is a value of its own, the lowest.
    limit: the least AUC, in either direction.
    why: what to say of them.

  Returns:
    The worst first.
  """
  found = []
  ones = int((labels == 1).sum())
  pairs = ones * (len(labels) - ones)
  for name, values in columns.items():
    ranked = stats.rankdata(np.nan_to_num(values, nan=-np.inf))
    auc = (ranked[labels == 1].sum() - ones * (ones + 1) / 2) / pairs
    auc = max(auc, 1 - auc)
    if auc >= limit:
      found.append(Suspicion(name, float(auc), why))
  return sorted(found, key=lambda one: -one.auc)
