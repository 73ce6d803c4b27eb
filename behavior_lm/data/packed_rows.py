"""Rows of several windows side by side, planned before the first is read.

The lengths of all windows are known from the index of the dataset, so they are
packed once: at rows of 4,096 on real user-days longest first leaves 1 % of
padding, where a stream that keeps 64 rows open leaves 3 to 6 %. A row is a
pure function of its place, so an iterator over rows is restored by one number.
"""

from collections.abc import Mapping
from typing import Protocol

from grain.experimental import index_shuffle
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data import packing
from behavior_lm.data.fields import Field
from behavior_lm.data.fields import padding
from behavior_lm.data.windows import mix64

Row = dict[str, np.ndarray]

# Windows that are packed together. A tenth of them would do; all at once would
# take a hundred bytes each of Python's memory.
_PLANNED = 2**20


class Windows(Protocol):
  """What is packed: `data.windows.WindowSource`, for one.

  Attributes:
    capacity: tokens of a window at most, behind its first one.
    lengths: [windows] tokens of each.
    seed: of the order of rows.
    table: what the fields of a window mean.
  """

  seed: int

  @property
  def capacity(self) -> int: ...

  @property
  def lengths(self) -> np.ndarray: ...

  @property
  def table(self) -> Mapping[str, Field]: ...

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
    num_epochs: None repeats without end.
    of_sequences: fields of segments, [num_sequences, ...] each: what is known
      of a sequence goes with each of its windows.

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
      num_epochs: int | None = None,
      of_sequences: Mapping[str, np.ndarray] | None = None,
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
    self._order, self._bounds = plan(windows.lengths, max_length, max_segments)
    self.rows_per_epoch = len(self._bounds) - 1
    # Grain asks for a length; a billion epochs is "without end".
    self.num_epochs = 10**9 if num_epochs is None else num_epochs

  def __len__(self) -> int:
    return self.rows_per_epoch * self.num_epochs

  def __getitem__(self, index: int) -> Row:
    """Returns the fields of the windows in one row.

    Each [max_length], and `segment_ids` (0 = padding) and `positions`; fields
    of segments are [max_segments, ...].
    """
    epoch, place = divmod(int(index), self.rows_per_epoch)
    if self.shuffle and self.rows_per_epoch > 1:
      place = index_shuffle(
          place,
          max_index=self.rows_per_epoch - 1,
          seed=mix64(self.windows.seed, epoch) & 0xFFFFFFFF,
          rounds=4,
      )
    numbers = self._order[self._bounds[place] : self._bounds[place + 1]]
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

  def _join(self, parts: list[np.ndarray], name: str) -> np.ndarray:
    out = padding(name, (self.max_length,), self.table)
    np.concatenate(parts, out=out[: sum(map(len, parts))])
    return out


def plan(
    lengths: np.ndarray, max_length: int, max_segments: int
) -> tuple[np.ndarray, np.ndarray]:
  """Packs windows by best fit.

  Args:
    lengths: [windows] tokens of each.
    max_length, max_segments: of a row.

  Returns:
    [windows] int64 numbers of windows, row after row, and [rows + 1] int64:
    where each row begins there.
  """
  orders, bounds = [], [np.zeros(1, np.int64)]
  for begin in range(0, len(lengths), _PLANNED):
    both = (
        packing.pack(
            lengths[begin : begin + _PLANNED],
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
