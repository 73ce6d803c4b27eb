"""Windows over long histories: every event of every sequence, each epoch.

A sequence longer than the model is cut in as few windows as it needs; all are
full but one. Which one is short is drawn anew each epoch, so the cuts move,
and an epoch visits the whole history, never only its head.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from grain.experimental import index_shuffle
import numpy as np

from behavior_lm.data import schema
from behavior_lm.data.time_gaps import GapKind
from behavior_lm.data.time_gaps import HIDDEN_GAP
from behavior_lm.data.time_gaps import time_gaps
from behavior_lm.errors import UserError

# Further [num_events] arrays of a sequence, by its index: masks of evaluators.
Annotate = Callable[[int, Mapping[str, Any]], dict[str, np.ndarray]]


class SequenceSource(Protocol):
  """Random access to sequences: {"user_id", "start", "pair", "timestamp"}."""

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> Mapping[str, Any]: ...


def mix64(*values: int) -> int:
  """A 64-bit hash of integers (splitmix64), equal on every machine."""
  state = 0
  for value in values:
    state = (state ^ (value & 0xFFFFFFFFFFFFFFFF)) + 0x9E3779B97F4A7C15
    state &= 0xFFFFFFFFFFFFFFFF
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    state ^= state >> 31
  return state


def window_bounds(
    num_events: int, capacity: int, window: int, short_window: int
) -> tuple[int, int]:
  """Start and end of one window, all full but `short_window`."""
  num_windows = -(-num_events // capacity)
  remainder = num_events - (num_windows - 1) * capacity
  start = window * capacity
  if window > short_window:
    start -= capacity - remainder
  length = remainder if window == short_window else capacity
  return start, start + length


class WindowSource:
  """Tokenised windows by (epoch, place in the epoch), for Grain.

  Element i is a pure function of i and the arguments: epoch i // n, and within
  it the i-th of a seeded permutation. So any worker can make any element, and
  an iterator is restored by one number.

  Args:
    source: the sequences of a split.
    num_events: [num_sequences] events in each of them.
    pair_to_token: [num_pairs] token id of each pair code.
    max_length: tokens in a window, CLS included.
    gap_kind: "next" or "previous", see `time_gaps`.
    seed: of the permutation and the cuts.
    shuffle: False keeps the order and puts the short window last.
    num_epochs: None repeats without end.
    annotate: further arrays of a sequence, cut in the same windows.
  """

  def __init__(
      self,
      source: SequenceSource,
      num_events: np.ndarray,
      pair_to_token: np.ndarray,
      *,
      max_length: int,
      gap_kind: GapKind = "next",
      seed: int = 0,
      shuffle: bool = True,
      num_epochs: int | None = None,
      annotate: Annotate | None = None,
  ) -> None:
    if max_length < 2:
      raise UserError(
          f"max_length is {max_length}; a window holds CLS and at least one"
          " event, so 2 is the least."
      )
    if len(source) != len(num_events):
      raise UserError(
          f"{len(source)} sequences but {len(num_events)} lengths."
      )
    self.source = source
    self.num_events = np.asarray(num_events, np.int64)
    self.pair_to_token = np.asarray(pair_to_token, np.int32)
    self.capacity = max_length - 1
    self.gap_kind: GapKind = gap_kind
    self.seed = seed
    self.shuffle = shuffle
    self.annotate = annotate
    windows = -(-self.num_events // self.capacity)
    self._ends = np.cumsum(windows)
    self.windows_per_epoch = int(self._ends[-1]) if len(self._ends) else 0
    if not self.windows_per_epoch:
      raise UserError("the split has no events; choose another split.")
    # Grain asks for a length; a billion epochs is "without end".
    self.num_epochs = 10**9 if num_epochs is None else num_epochs

  def __len__(self) -> int:
    return self.windows_per_epoch * self.num_epochs

  def locate(self, index: int) -> tuple[int, int, int]:
    """Element index -> (sequence, first event, end event)."""
    epoch, place = divmod(index, self.windows_per_epoch)
    if self.shuffle and self.windows_per_epoch > 1:
      place = index_shuffle(
          place,
          max_index=self.windows_per_epoch - 1,
          seed=mix64(self.seed, epoch) & 0xFFFFFFFF,
          rounds=4,
      )
    sequence = int(np.searchsorted(self._ends, place, side="right"))
    num_windows = -(-int(self.num_events[sequence]) // self.capacity)
    window = place - (int(self._ends[sequence]) - num_windows)
    short = num_windows - 1
    if self.shuffle:
      short = mix64(self.seed, epoch, sequence) % num_windows
    start, end = window_bounds(
        int(self.num_events[sequence]), self.capacity, window, short
    )
    return sequence, start, end

  def __getitem__(self, index: int) -> dict[str, np.ndarray]:
    sequence, start, end = self.locate(int(index))
    example = self.source[sequence]
    timestamps = np.asarray(example["timestamp"])
    if len(timestamps) != self.num_events[sequence]:
      raise UserError(
          f"sequence {sequence} has {len(timestamps)} events, its index says"
          f" {self.num_events[sequence]}: the dataset is damaged, prepare it"
          " again."
      )
    gaps = time_gaps(timestamps, self.gap_kind)[start:end]
    seconds = (timestamps[start:end] - timestamps[start]) / 1e6
    tokens = self.pair_to_token[np.asarray(example["pair"])[start:end]]
    out = {
        "tokens": _prepend(tokens, schema.CLS_ID, np.int32),
        # CLS has no duration; "hidden" adds nothing to its embedding.
        "time_gaps": _prepend(gaps, HIDDEN_GAP, np.int32),
        "times": _prepend(seconds, 0, np.float32),
    }
    if self.annotate is not None:
      for name, values in self.annotate(sequence, example).items():
        out[name] = _prepend(values[start:end], 0, values.dtype)
    return out


def _prepend(values: np.ndarray, first: int, dtype: Any) -> np.ndarray:
  out = np.empty(len(values) + 1, dtype)
  out[0] = first
  out[1:] = values
  return out
