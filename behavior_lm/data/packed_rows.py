"""Rows of several windows side by side, planned before the first is read.

The lengths of all windows are known from the index of the dataset, so an epoch
is packed before it begins: at rows of 4,096 on real user-days longest first
leaves 1 % of padding, where a stream that keeps 64 rows open leaves 3 to 6 %.
A row is a pure function of its place, so an iterator over rows is restored by
one number.
"""

import bisect
from collections.abc import Mapping
import functools
from typing import Protocol

from grain.experimental import index_shuffle
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data import packing
from behavior_lm.data.fields import Field
from behavior_lm.data.fields import padding
from behavior_lm.data.rows_apart import move_apart
from behavior_lm.data.windows import mix64

Row = dict[str, np.ndarray]
# Numbers of windows, row after row, and where each row begins there.
Plan = tuple[np.ndarray, np.ndarray]
# A block of the shuffled order is so many times `rows_apart` rows. The order of
# an epoch of millions of rows is then never made at once.
_BLOCK = 64


class Windows(Protocol):
  """What is packed: `data.windows.WindowSource`, for one.

  Attributes:
    capacity: tokens of a window at most, behind its first one.
    num_plans: how many epochs differ in their lengths; then they repeat.
    seed: of the order of rows.
    table: what the fields of a window mean.
  """

  seed: int

  @property
  def capacity(self) -> int: ...

  @property
  def num_plans(self) -> int: ...

  @property
  def table(self) -> Mapping[str, Field]: ...

  def lengths(self, epoch: int) -> np.ndarray:
    """[windows] tokens of each."""

  def locate(self, epoch: int, number: int) -> tuple[int, int, int]:
    """A window -> (sequence, first token, end token)."""

  def read(self, epoch: int, number: int) -> Row:
    """The fields of a window, [tokens] each."""


class RowSource:
  """Packed rows by (epoch, place in the epoch), for Grain; picklable.

  Args:
    windows: of a split.
    max_length: tokens of a row.
    max_segments: windows of a row at most; 1 packs nothing.
    shuffle: a seeded permutation of the rows, another each epoch.
    repeat: epochs without end; False is the first one alone.
    of_sequences: fields of segments, [num_sequences, ...] each: what is known
      of a sequence goes with each of its windows.
    rows_apart: rows of a sequence are at least so many rows apart in the
      shuffled order where possible; 1 leaves the order alone. Each block of
      `_BLOCK` times as many rows is ordered on its own, so rows of two blocks
      or epochs may be nearer.

  Raises:
    UserError: if a window is longer than a row.
  """

  def __init__(
      self,
      windows: Windows,
      max_length: int,
      max_segments: int,
      *,
      shuffle: bool = True,
      repeat: bool = True,
      of_sequences: Mapping[str, np.ndarray] | None = None,
      rows_apart: int = 1,
  ) -> None:
    if windows.capacity + 1 > max_length:
      raise UserError(
          f"windows of {windows.capacity + 1} tokens do not fit in rows of"
          f" {max_length}."
      )
    self.windows = windows
    self.table = windows.table
    self.max_length = max_length
    self.max_segments = max_segments
    self.shuffle = shuffle
    self.of_sequences = dict(of_sequences or {})
    self.repeat = repeat
    self.rows_apart = rows_apart
    self._plans: dict[int, Plan] = {}
    self._orders: dict[tuple[int, int], np.ndarray] = {}
    # Rows of all plans before each plan, as far as rows were asked for.
    self._starts = [0]
    self.rows_per_epoch = len(self._plan(0)[1]) - 1

  def __len__(self) -> int:
    # Grain asks for a length; a billion epochs is "without end".
    return self.rows_per_epoch * (10**9 if self.repeat else 1)

  def __getitem__(self, index: int) -> Row:
    """Returns the fields of the windows in one row.

    Each [max_length], and `segment_ids` (0 = padding) and `positions`; fields
    of segments are [max_segments, ...].
    """
    epoch, place = self._find(int(index))
    order, bounds = self._plan(epoch % self.windows.num_plans)
    if self.shuffle and len(bounds) > 2:
      place = self._shuffled(epoch, place)
    numbers = order[bounds[place] : bounds[place + 1]]
    pieces = [self.windows.read(epoch, int(number)) for number in numbers]
    sizes = [len(piece["tokens"]) for piece in pieces]
    row = {
        name: self._join([piece[name] for piece in pieces], name)
        for name in pieces[0]
    }
    ids = np.repeat(np.arange(1, len(sizes) + 1, dtype=np.int32), sizes)
    positions = np.concatenate([np.arange(n, dtype=np.int32) for n in sizes])
    row["segment_ids"] = self._join([ids], "segment_ids")
    row["positions"] = self._join([positions], "positions")
    if self.of_sequences:
      locate = self.windows.locate
      sequences = [locate(epoch, int(number))[0] for number in numbers]
      for name, values in self.of_sequences.items():
        shape = (self.max_segments, *values.shape[1:])
        row[name] = padding(name, shape, self.table)
        row[name][: len(sequences)] = values[sequences]
    return row

  def _find(self, index: int) -> tuple[int, int]:
    """A row -> (epoch, place in the epoch)."""
    num_plans = self.windows.num_plans
    # Threads read rows at the same time: lists are replaced, never changed.
    starts = list(self._starts)
    while index >= starts[-1] and len(starts) <= num_plans:
      rows = len(self._plan(len(starts) - 1)[1]) - 1
      starts.append(starts[-1] + rows)
    self._starts = starts
    cycle = 0
    if len(starts) > num_plans:
      cycle, index = divmod(index, starts[-1])
    number = bisect.bisect_right(starts, index) - 1
    return cycle * num_plans + number, index - starts[number]

  def _shuffled(self, epoch: int, place: int) -> int:
    """The number of the row at a place of an epoch."""
    windows, bounds = self._plan(epoch % self.windows.num_plans)
    num_rows = len(bounds) - 1
    shuffled = functools.partial(
        index_shuffle,
        max_index=num_rows - 1,
        seed=mix64(self.windows.seed, epoch) & 0xFFFFFFFF,
        rounds=4,
    )
    if self.rows_apart == 1:
      return shuffled(place)
    size = _BLOCK * self.rows_apart
    block, offset = divmod(place, size)
    order = self._orders.get((epoch, block))
    if order is None:
      first = block * size
      rows = [shuffled(i) for i in range(first, min(first + size, num_rows))]
      sequences = {
          row: [
              self.windows.locate(epoch, int(number))[0]
              for number in windows[bounds[row] : bounds[row + 1]]
          ]
          for row in rows
      }
      order = move_apart(rows, sequences, self.rows_apart)
      # Readers are in two blocks at most.
      kept = [*self._orders.items()][-1:]
      self._orders = dict(kept) | {(epoch, block): order}
    return int(order[offset])

  def _plan(self, number: int) -> Plan:
    """The packing of an epoch; those of the last two are kept."""
    found = self._plans.get(number)
    if found is None:
      lengths = self.windows.lengths(number)
      found = plan(lengths, self.max_length, self.max_segments)
      self._plans = dict([*self._plans.items()][-1:]) | {number: found}
    return found

  def _join(self, parts: list[np.ndarray], name: str) -> np.ndarray:
    out = padding(name, (self.max_length,), self.table)
    np.concatenate(parts, out=out[: sum(map(len, parts))])
    return out


def plan(
    lengths: np.ndarray,
    max_length: int,
    max_segments: int,
    *,
    together: int = 2**20,
) -> Plan:
  """Packs windows by best fit.

  Args:
    lengths: [windows] tokens of each.
    max_length, max_segments: of a row.
    together: windows that are packed at a time. A tenth of them would do; all
      at once would take a hundred bytes each of Python's memory.

  Returns:
    [windows] int64 numbers of windows, row after row, and [rows + 1] int64:
    where each row begins there.
  """
  orders, bounds = [], [np.zeros(1, np.int64)]
  for begin in range(0, len(lengths), together):
    both = (
        packing.pack(
            lengths[begin : begin + together],
            max_length,
            max_segments=max_segments,
            decreasing=longest_first,
        )
        for longest_first in (True, False)
    )
    # Longest first is best but where rows run out of segments before room:
    # then the short windows that it leaves to the end do not fill them.
    order, inside = packing.members(min(both, key=lambda p: p.num_rows))
    orders.append(order + begin)
    bounds.append(inside[1:] + begin)
  return np.concatenate(orders), np.concatenate(bounds)
