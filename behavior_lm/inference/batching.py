"""Sequences of any length -> batches of few shapes.

A sequence that is longer than the model is cut into as few windows as it
needs, of equal length (give or take one token), so that no token is left with
a short context; or, with a stride, into windows that overlap. A window is
padded to the smallest bucket that holds it: its shape depends on its own
length alone, never on its neighbours.
"""

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
import dataclasses

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data.fields import Batch
from behavior_lm.data.fields import Field
from behavior_lm.data.fields import padding
from behavior_lm.data.token_source import Fields
from behavior_lm.data.windows import cut_window

_SHORTEST = 16
_MULTIPLE = 8
# Made here, not read from the sequence.
_OF_ROWS = ("positions", "segment_ids")


def bucket_lengths(max_length: int) -> list[int]:
  """Lengths that windows are padded to: 1, 3/4, 1/2, 1/4, 1/8, ... of it.

  Balanced windows of long sequences are nearly full; three quarters serve
  those of sequences that are a little longer than the model.
  """
  found = {max_length, _round_up(3 * max_length // 4)}
  length = max_length
  while (length := length // 2) >= _SHORTEST:
    found.add(_round_up(length))
  return sorted(n for n in found if n <= max_length)


@dataclasses.dataclass(frozen=True)
class Cut:
  """How long sequences are read.

  Attributes:
    stride: tokens between the starts of full windows that overlap, the last
      one at the end; None for windows side by side.
    last: only so many tokens at the end; None for all.
  """

  stride: int | None = None
  last: int | None = None

  def check(self, capacity: int) -> None:
    """Raises UserError for values that do not fit windows of `capacity`."""
    if self.stride is not None and not 0 < self.stride <= capacity:
      raise UserError(
          f"stride {self.stride} must lie between 1 and {capacity}, the"
          " tokens of a window, or events would be left out."
      )
    if self.last is not None and self.last < 1:
      raise UserError(f"last {self.last} must be at least 1 token.")


def window_cuts(
    num_tokens: int, capacity: int, cut: Cut | None = None
) -> list[tuple[int, int]]:
  """(start, end) of the windows of a sequence, lengths equal or one apart."""
  cut = cut or Cut()
  first = max(0, num_tokens - cut.last) if cut.last else 0
  size = num_tokens - first
  if cut.stride is not None:
    end = max(size - capacity, 0)
    starts = [*range(0, end, cut.stride), end]
    return [(first + s, min(first + s + capacity, num_tokens)) for s in starts]
  count = -(-size // capacity)
  cuts = [first + i * size // count for i in range(count + 1)]
  return list(zip(cuts[:-1], cuts[1:], strict=True))


def row_windows(
    sequences: Iterable[Fields], capacity: int, cut: Cut, *, last_only: bool
) -> Iterator[tuple[Fields, int, int]]:
  """The windows of a row: (sequence, start, end).

  Args:
    sequences: of the row, in order of time.
    capacity: tokens of a window.
    cut: how long sequences are read.
    last_only: the last window of the last sequence alone.
  """
  if last_only:
    sequences = collections.deque(sequences, maxlen=1)
  for sequence in sequences:
    cuts = window_cuts(len(sequence["tokens"]), capacity, cut)
    for start, end in cuts[-1:] if last_only else cuts:
      yield sequence, start, end


@dataclasses.dataclass
class WindowBatch:
  """Windows of one bucket.

  Attributes:
    arrays: the fields of the model, [batch_size, length]; rows after the
      windows are padding.
    rows: output row of each window.
    num_tokens: of each window, CLS not counted.
  """

  arrays: Batch
  rows: list[int] = dataclasses.field(default_factory=list)
  num_tokens: list[int] = dataclasses.field(default_factory=list)


class Batcher:
  """Collects windows until a batch of their bucket is full.

  Args:
    max_length: tokens of the longest window, CLS included.
    batch_size: windows in a batch.
    names: fields that the model reads.
    table: of the fields, see `data.fields`.
  """

  def __init__(
      self,
      max_length: int,
      batch_size: int,
      names: Sequence[str],
      table: Mapping[str, Field],
  ) -> None:
    self.capacity = max_length - 1
    self.batch_size = batch_size
    self.names = tuple(names)
    self.table = table
    self._lengths = bucket_lengths(max_length)
    self._filling: dict[int, WindowBatch] = {}

  def add(
      self, row: int, sequence: Fields, start: int, end: int
  ) -> WindowBatch | None:
    """Adds the window [start, end) of a sequence; returns a full batch."""
    size = end - start + 1
    length = next(n for n in self._lengths if n >= size)
    batch = self._filling.get(length)
    if batch is None:
      # New arrays each time: jax may still read those of the batch before.
      shape = (self.batch_size, length)
      batch = self._filling[length] = WindowBatch(
          {name: padding(name, shape, self.table) for name in self.names}
      )
    place = len(batch.rows)
    read = {n: sequence[n] for n in self.names if n not in _OF_ROWS}
    window = cut_window(read, start, end, self.table) | {
        "positions": np.arange(size), "segment_ids": np.ones(size)
    }
    for name in self.names:
      batch.arrays[name][place, :size] = window[name]
    batch.rows.append(row)
    batch.num_tokens.append(size - 1)
    if len(batch.rows) < self.batch_size:
      return None
    return self._filling.pop(length)

  def rest(self) -> Iterator[WindowBatch]:
    """The batches that are not full."""
    while self._filling:
      yield self._filling.pop(min(self._filling))


def _round_up(length: int) -> int:
  return -(-length // _MULTIPLE) * _MULTIPLE
