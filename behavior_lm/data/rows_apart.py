"""An order of rows in which what they share is far apart.

Short runs learn from batches of many sequences: the same windows, taken several
in a row from a sequence, teach less.
"""

import collections
from collections.abc import Mapping, Sequence

import numpy as np


def move_apart(
    order: Sequence[int], groups: Mapping[int, Sequence[int]], apart: int
) -> np.ndarray:
  """Moves rows back until those that share a group are so many rows apart.

  Rows that must wait are taken as soon as they may, the first one first. If
  `apart` rows wait already, or no other rows are left, the first of them is
  taken although it is too near.

  Args:
    order: of the rows; where no two are too near, it stays.
    groups: row -> the groups that it belongs to.
    apart: rows from one to the next of the same group, at least.

  Returns:
    [rows] int64, the new order.
  """
  last: dict[int, int] = {}
  waiting: collections.deque[int] = collections.deque()
  rest = iter(order)
  out: list[int] = []
  is_free = lambda row: all(
      len(out) - last.get(group, -apart) >= apart for group in groups[row]
  )

  def take() -> int:
    for row in waiting:
      if is_free(row):
        waiting.remove(row)
        return row
    for row in rest:
      if is_free(row):
        return row
      waiting.append(row)
      if len(waiting) > apart:
        break
    return waiting.popleft()

  for _ in order:
    row = take()
    last.update(dict.fromkeys(groups[row], len(out)))
    out.append(row)
  return np.asarray(out, np.int64)
