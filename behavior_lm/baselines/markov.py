"""Markov chains over labels of one user's rows: which map, shop, item is next?

A chain of order k predicts a label from the k labels before it, mixed with the
chain of the next lower order by Witten-Bell smoothing (Witten and Bell 1991):

  P_k(x | c) = (n(c, x) + d(c) P_{k-1}(x | c)) / (n(c) + d(c))

n counts in the training rows, d(c) is the number of distinct labels that were
seen after c. Order 0 is popularity, below which every label is equally likely.
A personal chain adds the user to the context. Rows of one user at one time do
not see each other: only what lies STRICTLY before counts as history.
"""

from collections.abc import Sequence
import dataclasses

import numpy as np
from scipy import sparse

NONE = -1  # There is no earlier label.
# The test rows that are scored together: [rows, labels] float32 in memory.
BLOCK_ROWS = 4_096


def previous_labels(
    users: np.ndarray, times: np.ndarray, labels: np.ndarray, order: int
) -> np.ndarray:
  """The labels of the rows before each row.

  Args:
    users: [n] int codes; equal ones stand together.
    times: [n] int64, ascending inside a user.
    labels: [n] int.
    order: how many.

  Returns:
    [n, order] int64; column 0 is the latest row strictly before the row's
    time, and NONE stands where there is none.

  Raises:
    ValueError: if the rows are not sorted by user and time.
  """
  size = len(users)
  new_user = np.ones(size, bool)
  new_user[1:] = users[1:] != users[:-1]
  if int(new_user.sum()) != len(np.unique(users)):
    raise ValueError("the rows of a user do not stand together")
  new_time = new_user.copy()
  new_time[1:] |= times[1:] != times[:-1]
  if (np.diff(times)[~new_user[1:]] < 0).any():
    raise ValueError("the rows of a user are not sorted by time")
  place = np.arange(size)
  first = np.maximum.accumulate(np.where(new_user, place, 0))
  same = np.maximum.accumulate(np.where(new_time, place, 0))
  out = np.full((size, order), NONE, np.int64)
  for lag in range(order):
    at = same - 1 - lag
    known = at >= first
    out[known, lag] = np.asarray(labels)[at[known]]
  return out


@dataclasses.dataclass(frozen=True)
class Chain:
  """Contexts from the shortest to the longest; each backs off to the last.

  Attributes:
    levels: the columns that make the context of each level: () is popularity,
      0 the latest label, 1 the one before it; USER adds the user and EVENT the
      last event before the row that is no row itself.
  """

  levels: tuple[tuple[str | int, ...], ...]


USER, EVENT = "user", "event"
CHAINS = {
    "popularity": Chain(((),)),
    "Markov-1": Chain(((), (0,))),
    "Markov-2": Chain(((), (0,), (0, 1))),
    "personal Markov-1": Chain(((), (0,), (USER, 0))),
    "personal Markov-3": Chain(
        ((), (0,), (0, 1), (0, 1, 2), (USER, 0), (USER, 0, 1), (USER, 0, 1, 2))
    ),
    "last event, personal Markov-2": Chain((
        (), (0,), (0, EVENT), (0, 1), (0, 1, EVENT), (USER, 0, 1),
        (USER, 0, 1, EVENT),
    )),
}  # fmt: skip


def chain_probabilities(
    chain: Chain,
    columns: dict[str | int, np.ndarray],
    labels: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    num_labels: int,
) -> np.ndarray:
  """Probabilities of every label in the test rows.

  Args:
    chain: the contexts.
    columns: {name: [n] int codes}, what contexts are made of.
    labels: [n] int, 0 to num_labels - 1.
    train, test: row numbers; the counts are those of train alone.
    num_labels: how many there are.

  Returns:
    [len(test), num_labels] float32; rows sum to 1.
  """
  out = np.full((len(test), num_labels), 1 / num_labels, np.float32)
  for level in chain.levels:
    codes = _codes([columns[name] for name in level], len(labels))
    counts = _counts(codes[train], labels[train], num_labels, codes.max() + 1)
    distinct = np.diff(counts.indptr).astype(np.float32)
    total = np.asarray(counts.sum(axis=1), np.float32).ravel()
    for begin in range(0, len(test), BLOCK_ROWS):
      part = codes[test[begin : begin + BLOCK_ROWS]]
      block = out[begin : begin + BLOCK_ROWS]
      d, n = distinct[part][:, None], total[part][:, None]
      seen = n > 0
      mixed = counts[part].toarray() + d * block
      np.divide(mixed, n + d, out=block, where=seen)
  return out


def _codes(columns: Sequence[np.ndarray], size: int) -> np.ndarray:
  """[n] int64, equal numbers for equal contexts."""
  codes = np.zeros(size, np.int64)
  for column in columns:
    _, found = np.unique(column, return_inverse=True)
    _, codes = np.unique(
        codes * (int(found.max()) + 1) + found, return_inverse=True
    )
  return codes


def _counts(
    contexts: np.ndarray, labels: np.ndarray, num_labels: int, num: int
) -> sparse.csr_array:
  counts = sparse.coo_array(
      (np.ones(len(labels), np.float32), (contexts, labels)),
      shape=(num, num_labels),
  ).tocsr()
  counts.sum_duplicates()
  return counts
