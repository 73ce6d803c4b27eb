"""Packing: several sequences side by side in one row of fixed length.

Sequences longer than a row are cut in windows first (`cut`); the windows are
then put in rows (`pack`). Both work on lengths alone: a dataset's index is
enough to know beforehand how much of a batch is padding.

What a cut costs: a window's first events are read without what came before
them. Nothing is lost of the loss, each event is counted in exactly one window;
but the first events of a window are guessed with less context. `context` makes
each window read that many events of the one before again, WITHOUT counting
them, for that much more to compute.
"""

import bisect
import dataclasses
import heapq
from typing import Literal

import numpy as np

from behavior_lm.common.errors import UserError

Method = Literal["first_fit", "best_fit"]


@dataclasses.dataclass(frozen=True)
class Pieces:
  """Windows of sequences, [m] int64 each, in the order of the sequences.

  Attributes:
    sequence: which sequence.
    start: first event of it that the window reads.
    num_events: events that it reads.
    context: how many of them, at its start, were counted before.
    overhead: tokens of a window that are no event (CLS).
  """

  sequence: np.ndarray
  start: np.ndarray
  num_events: np.ndarray
  context: np.ndarray
  overhead: int

  @property
  def lengths(self) -> np.ndarray:
    """[m] tokens, with the overhead."""
    return self.num_events + self.overhead


@dataclasses.dataclass(frozen=True)
class Packing:
  """Which row each piece is in.

  Attributes:
    capacity: tokens a row.
    lengths: [m] int64 tokens of each piece.
    rows: [m] int64 row of each piece, numbered in the order of opening.
    offsets: [m] int64 place of its first token in the row.
    num_rows: all rows.
  """

  capacity: int
  lengths: np.ndarray
  rows: np.ndarray
  offsets: np.ndarray
  num_rows: int


@dataclasses.dataclass(frozen=True)
class PackingStats:
  """How well it fits.

  Attributes:
    rows: number of rows.
    padding_share: of all positions, how many hold no token.
    cut_sequences: sequences that did not fit in one window.
    segments_a_row: pieces in a row, mean.
    max_segments: pieces in the fullest row.
  """

  rows: int
  padding_share: float
  cut_sequences: int
  segments_a_row: float
  max_segments: int


def cut(
    lengths: np.ndarray, capacity: int, *, context: int = 0, overhead: int = 0
) -> Pieces:
  """Cuts what is longer than a row; all windows are full but the last.

  Args:
    lengths: [n] events of each sequence; one without events has no window.
    capacity: tokens a row.
    context: events that a window reads again of the one before.
    overhead: tokens of each window that are no event (CLS).

  Raises:
    UserError: if a window has no room for a new event, or a length is
      negative.
  """
  lengths = _lengths(lengths)
  size = capacity - overhead
  step = size - context
  if overhead < 0 or context < 0 or step < 1:
    raise UserError(
        f"rows of {capacity} tokens, {overhead} of them no event and {context}"
        " read again, have no room for a new event."
    )
  more = np.maximum(lengths - size, 0)
  windows = np.where(lengths > 0, 1 + -(-more // step), 0)
  sequence = np.repeat(np.arange(len(lengths)), windows)
  first = np.cumsum(windows) - windows
  number = np.arange(len(sequence)) - first[sequence]
  start = number * step
  return Pieces(
      sequence,
      start,
      np.minimum(lengths[sequence] - start, size),
      np.where(number > 0, context, 0),
      overhead,
  )


def pack(
    lengths: np.ndarray,
    capacity: int,
    *,
    method: Method = "best_fit",
    max_segments: int | None = None,
    open_rows: int | None = None,
    decreasing: bool = False,
) -> Packing:
  """Puts pieces in rows, one after the other.

  `first_fit` takes the oldest open row that has room, `best_fit` the one that
  the piece fills most (of equal ones the oldest). Where none has room a new
  row is opened; are there `open_rows` already, best-fit closes the fullest for
  it and first-fit the oldest. Both take O(log n) steps a piece; a million of
  lengths around 3,000 take seconds.

  Args:
    lengths: [m] tokens of each piece, 1 to `capacity`.
    capacity: tokens a row.
    method: see above.
    max_segments: pieces a row at most; None is any number.
    open_rows: rows that may be filled at the same time, which is what a stream
      must hold in memory; None is any number.
    decreasing: place the longest pieces first. Only then are the rows'
      lengths independent of the order of the pieces. Needs all lengths
      beforehand, so it is for whole datasets.

  Raises:
    UserError: if a piece does not fit in a row, or an argument is out of
      range.
  """
  lengths = _lengths(lengths)
  if len(lengths) and not 1 <= lengths.min() <= lengths.max() <= capacity:
    bad = int(np.argmax((lengths < 1) | (lengths > capacity)))
    raise UserError(
        f"piece {bad} has {lengths[bad]} tokens, a row has {capacity}: cut"
        " longer sequences first and leave empty ones out."
    )
  for name, limit in (("max_segments", max_segments), ("open_rows", open_rows)):
    if limit is not None and limit < 1:
      raise UserError(f"{name} is {limit}; it must be 1 or more.")
  # A limit that is never reached is none.
  segments = len(lengths) if max_segments is None else max_segments
  limit = len(lengths) if open_rows is None else open_rows
  order = np.arange(len(lengths))
  if decreasing:
    order = np.argsort(-lengths, kind="stable")
  if method == "best_fit":
    placed = _best_fit(lengths[order].tolist(), capacity, segments, limit)
  elif method == "first_fit":
    placed = _first_fit(lengths[order].tolist(), capacity, segments, limit)
  else:
    raise UserError(
        f"packing method {method!r}; choose 'first_fit' or 'best_fit'."
    )
  rows = np.empty(len(lengths), np.int64)
  rows[order] = placed
  num_rows = int(rows.max()) + 1 if len(rows) else 0
  # Side by side in the order in which they were placed.
  aside = order[np.argsort(rows[order], kind="stable")]
  ends = np.cumsum(lengths[aside])
  used = np.bincount(rows, lengths, num_rows).astype(np.int64)
  offsets = np.empty(len(lengths), np.int64)
  row_start = np.cumsum(used) - used
  offsets[aside] = ends - lengths[aside] - row_start[rows[aside]]
  return Packing(capacity, lengths, rows, offsets, num_rows)


def stats(packing: Packing, pieces: Pieces | None = None) -> PackingStats:
  """Numbers of a packing.

  Args:
    packing: of the pieces.
    pieces: what was packed; None says that nothing was cut.
  """
  counts = np.bincount(packing.rows, minlength=packing.num_rows)
  places = packing.num_rows * packing.capacity
  windows = np.zeros(0) if pieces is None else np.bincount(pieces.sequence)
  return PackingStats(
      rows=packing.num_rows,
      padding_share=(
          float(1 - packing.lengths.sum() / places) if places else 0.0
      ),
      cut_sequences=int((windows > 1).sum()),
      segments_a_row=float(counts.mean()) if len(counts) else 0.0,
      max_segments=int(counts.max(initial=0)),
  )


def members(packing: Packing) -> tuple[np.ndarray, np.ndarray]:
  """The pieces of each row.

  Returns:
    [m] pieces, row after row in the order of their offsets, and [rows + 1]
    bounds: row i holds the pieces from bounds[i] to bounds[i + 1].
  """
  order = np.lexsort((packing.offsets, packing.rows))
  counts = np.bincount(packing.rows, minlength=packing.num_rows)
  return order, np.concatenate([[0], np.cumsum(counts)])


def segment_ids(packing: Packing) -> np.ndarray:
  """[rows, capacity] int32: pieces of a row from 1 on, 0 is padding."""
  order, bounds = members(packing)
  counts = np.diff(bounds)
  number = np.arange(len(order)) - np.repeat(bounds[:-1], counts) + 1
  out = np.zeros((packing.num_rows, packing.capacity), np.int32)
  out[_positions(packing, order)] = np.repeat(number, packing.lengths[order])
  return out


def loss_weights(packing: Packing, pieces: Pieces) -> np.ndarray:
  """[rows, capacity] float32: 1 where a token is an event that counts.

  Padding, CLS and the events that a window reads again weigh 0: over all rows,
  each event of each sequence weighs 1 exactly once.
  """
  order = np.arange(len(packing.lengths))
  piece = np.repeat(order, packing.lengths)
  first = np.cumsum(packing.lengths) - packing.lengths
  place = np.arange(len(piece)) - first[piece]
  silent = pieces.overhead + pieces.context
  out = np.zeros((packing.num_rows, packing.capacity), np.float32)
  out[_positions(packing, order)] = place >= silent[piece]
  return out


def _positions(
    packing: Packing, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Row and column of each token, piece after piece."""
  lengths = packing.lengths[order]
  piece = np.repeat(order, lengths)
  first = np.cumsum(lengths) - lengths
  place = np.arange(len(piece)) - np.repeat(first, lengths)
  return packing.rows[piece], packing.offsets[piece] + place


def _best_fit(
    lengths: list[int], capacity: int, max_segments: int, open_rows: int
) -> list[int]:
  rows: list[int] = []
  segments: list[int] = []
  # Amounts of room that open rows have, ascending, and the rows by amount.
  rooms: list[int] = []
  waiting: dict[int, list[int]] = {}
  num_open = 0

  def take(place: int) -> int:
    room = rooms[place]
    row = heapq.heappop(waiting[room])
    if not waiting[room]:
      del waiting[room], rooms[place]
    return row

  for length in lengths:
    place = bisect.bisect_left(rooms, length)
    if place < len(rooms):
      room = rooms[place] - length
      row = take(place)
      segments[row] += 1
    else:
      if num_open == open_rows:
        take(0)
        num_open -= 1
      row, room = len(segments), capacity - length
      segments.append(1)
      num_open += 1
    rows.append(row)
    if not room or segments[row] == max_segments:
      num_open -= 1
    elif room in waiting:
      heapq.heappush(waiting[room], row)
    else:
      bisect.insort(rooms, room)
      waiting[room] = [row]
  return rows


def _first_fit(
    lengths: list[int], capacity: int, max_segments: int, open_rows: int
) -> list[int]:
  # A tree of maxima over the room of all rows, closed and future ones have 0;
  # the leftmost row with room is found from the root down.
  leaves = 1
  while leaves < len(lengths):
    leaves *= 2
  tree = [0] * (2 * leaves)
  rows: list[int] = []
  segments: list[int] = []
  oldest = num_open = 0

  def put(row: int, room: int) -> None:
    node = leaves + row
    tree[node] = room
    while node > 1:
      node //= 2
      largest = max(tree[2 * node], tree[2 * node + 1])
      if tree[node] == largest:
        return
      tree[node] = largest

  for length in lengths:
    if tree[1] >= length:
      node = 1
      while node < leaves:
        node *= 2
        if tree[node] < length:
          node += 1
      row, room = node - leaves, tree[node] - length
      segments[row] += 1
    else:
      if num_open == open_rows:
        while not tree[leaves + oldest]:
          oldest += 1
        put(oldest, 0)
        num_open -= 1
      row, room = len(segments), capacity - length
      segments.append(1)
      num_open += 1
    rows.append(row)
    if segments[row] == max_segments:
      room = 0
    if not room:
      num_open -= 1
    put(row, room)
  return rows


def _lengths(lengths: np.ndarray) -> np.ndarray:
  lengths = np.asarray(lengths, np.int64)
  if lengths.ndim != 1 or (len(lengths) and lengths.min() < 0):
    raise UserError("lengths must be a list of numbers that are not negative.")
  return lengths
