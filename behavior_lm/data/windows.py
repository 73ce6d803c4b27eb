"""Windows over long histories.

A sequence longer than the model is cut by one of these plans (`history`):

  windows  as few windows as it needs, all full but the first and the last.
           How many tokens the first one has is drawn anew each epoch, so the
           cuts move, and an epoch visits every token of every sequence once,
           never only its head.
  strided  full windows `stride` tokens apart, the last one at the end: tokens
           are seen up to max_length / stride times, with other context.
  crop     one window a sequence and epoch, at a random place: short histories
           weigh as much as long ones.
  last     the last tokens of each sequence alone.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data.fields import Field
from behavior_lm.data.fields import find_field
from behavior_lm.data.token_source import TokenSource

History = Literal["windows", "strided", "crop", "last"]
HISTORIES = ("windows", "strided", "crop", "last")

# How many ways there are to cut the sequences of a split. Rows are planned for
# each of them, so a run that resumes late plans no more than these.
_NUM_PLANS = 64


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


def mix64_range(count: int, *values: int) -> np.ndarray:
  """[count] uint64: mix64(*values, i) of each i below count."""
  state = np.arange(count, dtype=np.uint64) ^ np.uint64(mix64(*values))
  state += np.uint64(0x9E3779B97F4A7C15)
  state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
  state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
  return state ^ (state >> np.uint64(31))


class WindowSource:
  """The windows of a split, epoch by epoch.

  A window is a pure function of its epoch, its number and the arguments. An
  epoch has as many windows as any other, but where cuts move their lengths
  differ. There are `num_plans` ways to cut, which the epochs take in turn.

  Args:
    tokens: the token sequences of a split.
    num_tokens: [num_sequences] tokens in each of them.
    max_length: tokens in a window, CLS included.
    seed: of the cuts.
    move_cuts: False fills all windows but the last, and puts every crop first.
    history: how long sequences are cut, see the head of this file.
    stride: tokens between the starts of "strided" windows.
  """

  def __init__(
      self,
      tokens: TokenSource,
      num_tokens: np.ndarray,
      *,
      max_length: int,
      seed: int = 0,
      move_cuts: bool = True,
      history: History = "windows",
      stride: int | None = None,
  ) -> None:
    _check(max_length, history, stride)
    if len(tokens) != len(num_tokens):
      raise UserError(
          f"{len(tokens)} sequences but {len(num_tokens)} lengths."
      )
    self.tokens = tokens
    self.num_tokens = np.asarray(num_tokens, np.int64)
    self.capacity = max_length - 1
    self.seed = seed
    self.move_cuts = move_cuts
    self.history = history
    self.stride = stride
    self._counts = self._count_windows()
    self._ends = np.cumsum(self._counts)
    moving = (
        move_cuts and history == "windows" and self._counts.max(initial=0) > 1
    )
    self.num_plans = _NUM_PLANS if moving else 1
    self._firsts: dict[int, np.ndarray] = {}
    if not self._counts.sum():
      raise UserError("the split has no events; choose another split.")

  def __len__(self) -> int:
    """Windows in an epoch."""
    return int(self._ends[-1])

  @property
  def table(self) -> Mapping[str, Field]:
    """What the fields of a window mean."""
    return self.tokens.reading.table

  def lengths(self, epoch: int) -> np.ndarray:
    """[windows] int64 tokens of each window of an epoch, CLS included."""
    sequence = np.repeat(np.arange(len(self._counts)), self._counts)
    size = self.num_tokens[sequence]
    if self.history == "windows":
      piece = np.arange(len(self)) - (self._ends - self._counts)[sequence]
      first = self._first_lengths(epoch)[sequence]
      start = np.maximum(first + (piece - 1) * self.capacity, 0)
      return np.minimum(first + piece * self.capacity, size) - start + 1
    return np.minimum(size, self.capacity) + 1

  def locate(self, epoch: int, number: int) -> tuple[int, int, int]:
    """A window -> (sequence, first token, end token)."""
    sequence = int(np.searchsorted(self._ends, number, side="right"))
    piece = number - int(self._ends[sequence] - self._counts[sequence])
    size = int(self.num_tokens[sequence])
    if self.history == "windows":
      end = int(self._first_lengths(epoch)[sequence]) + piece * self.capacity
      return sequence, max(end - self.capacity, 0), min(end, size)
    last_start = max(0, size - self.capacity)
    start = last_start
    if self.history == "strided":
      assert self.stride is not None
      start = min(piece * self.stride, last_start)
    elif self.history == "crop":
      draw = mix64(self.seed, epoch, sequence) if self.move_cuts else 0
      start = draw % (last_start + 1)
    return sequence, start, min(start + self.capacity, size)

  def read(self, epoch: int, number: int) -> dict[str, np.ndarray]:
    """Arrays [tokens of the window + 1]; the first place is CLS."""
    sequence, start, end = self.locate(epoch, number)
    fields = self.tokens[sequence]
    found = len(fields["tokens"])
    if found != self.num_tokens[sequence]:
      raise UserError(
          f"sequence {sequence} has {found} tokens, its index says"
          f" {self.num_tokens[sequence]}: the dataset is damaged, prepare it"
          " again. (With a tokenizer of several events a token, first delete"
          " the folder token_lengths in it.)"
      )
    return cut_window(fields, start, end, self.tokens.reading.table)

  def _first_lengths(self, epoch: int) -> np.ndarray:
    """[num_sequences] int64 tokens of each first window.

    The places that the windows of a sequence leave empty are shared between
    the first and the last one.
    """
    plan = epoch % self.num_plans
    firsts = self._firsts.get(plan)
    if firsts is None:
      firsts = np.minimum(self.num_tokens, self.capacity)
      if self.num_plans > 1:
        room = self._counts * self.capacity - self.num_tokens
        draws = mix64_range(len(firsts), self.seed, plan)
        moved = (draws % (room + 1).astype(np.uint64)).astype(np.int64)
        firsts = np.where(self._counts > 1, firsts - moved, firsts)
      # Readers are in two epochs at most; see data.packed_rows for threads.
      self._firsts = dict([*self._firsts.items()][-1:]) | {plan: firsts}
    return firsts

  def _count_windows(self) -> np.ndarray:
    if self.history == "windows":
      return -(-self.num_tokens // self.capacity)
    if self.stride is not None:
      after_first = np.maximum(self.num_tokens - self.capacity, 0)
      count = 1 + -(-after_first // self.stride)
      return np.where(self.num_tokens > 0, count, 0)
    return (self.num_tokens > 0).astype(np.int64)


def _check(max_length: int, history: str, stride: int | None) -> None:
  if max_length < 2:
    raise UserError(
        f"max_length is {max_length}; a window holds CLS and at least one"
        " event, so 2 is the least."
    )
  if history not in HISTORIES:
    raise UserError(
        f"history {history!r}; choose one of {', '.join(HISTORIES)}."
    )
  if (history == "strided") != (stride is not None):
    raise UserError(
        f"history {history!r} with stride {stride}: strided windows need a"
        " stride (data.stride in a config), others have none."
    )
  if stride is not None and not 0 < stride < max_length:
    raise UserError(
        f"stride {stride} must lie between 1 and {max_length - 1} (max_length"
        " without CLS), or tokens would be left out."
    )


def cut_window(
    fields: Mapping[str, np.ndarray],
    start: int,
    end: int,
    table: Mapping[str, Field],
) -> dict[str, np.ndarray]:
  """The tokens [start, end) of a sequence behind a CLS.

  Args:
    fields: of the sequence, [num_tokens] each.
    start, end: of the window.
    table: what each field reads at CLS.

  Returns:
    [end - start + 1] each; times and sessions count from the window's first
    token.
  """
  out = {}
  for name, values in fields.items():
    field = find_field(name, table)
    cut = values[start:end]
    if name in ("times", "sessions"):
      cut = cut - cut[0]
    window = np.empty(len(cut) + 1, field.dtype)
    window[0] = field.at_cls
    window[1:] = cut
    out[name] = window
  return out
