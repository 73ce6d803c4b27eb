"""How much padding each way of packing leaves, over several row lengths."""

from collections.abc import Callable, Sequence
import dataclasses
import time
from typing import Any

import grain
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data import packed_rows
from behavior_lm.data import packing

# Windows begin with a CLS token.
_CLS = 1


@dataclasses.dataclass(frozen=True)
class Limits:
  """What the training pipeline can hold.

  Attributes:
    max_segments: pieces a row at most; None is what the configs of training
      choose for the length of a row.
    open_rows: rows filled at the same time by methods that stream.
  """

  max_segments: int | None = None
  open_rows: int = 64

  def of(self, capacity: int) -> "Limits":
    """The limits of rows so long."""
    default = max(8, capacity // 128)
    return Limits(self.max_segments or default, self.open_rows)


Packer = Callable[[np.ndarray, int, Limits], packing.Packing]


def one_a_row(
    lengths: np.ndarray, capacity: int, limits: Limits
) -> packing.Packing:
  """No packing."""
  del limits
  return packing.pack(lengths, capacity, max_segments=1)


def grain_best_fit(
    lengths: np.ndarray, capacity: int, limits: Limits
) -> packing.Packing:
  """What Grain's BestFitPackIterDataset makes of these lengths, run for real.

  It fills `open_rows` rows until a piece fits in none, and then gives all of
  them away at once.
  """
  if not len(lengths):
    return packing.pack(lengths, capacity)
  source = _Numbered(np.asarray(lengths, np.int64))
  packed = grain.experimental.BestFitPackIterDataset(
      grain.MapDataset.source(source).to_iter_dataset(
          grain.ReadOptions(num_threads=0)
      ),
      length_struct={"piece": capacity},
      num_packing_bins=limits.open_rows,
      padding_struct={"piece": -1},
      max_sequences_per_bin=limits.max_segments,
      shuffle_bins=False,
  )
  rows = np.full(len(lengths), -1, np.int64)
  offsets = np.zeros(len(lengths), np.int64)
  num_rows = 0
  for row in packed:
    starts = np.flatnonzero(
        (row["piece"] >= 0) & (row["piece_positions"] == 0)
    )
    pieces = row["piece"][starts]
    rows[pieces], offsets[pieces] = num_rows, starts
    num_rows += 1
  return packing.Packing(capacity, lengths, rows, offsets, num_rows)


def planned(
    lengths: np.ndarray, capacity: int, limits: Limits
) -> packing.Packing:
  """What training does: all lengths are known, see `packed_rows.plan`."""
  order, bounds = packed_rows.plan(
      lengths, capacity, limits.max_segments or len(lengths)
  )
  counts = np.diff(bounds)
  rows, offsets = np.empty(len(order), np.int64), np.empty_like(order)
  rows[order] = np.repeat(np.arange(len(counts)), counts)
  ends = np.cumsum(lengths[order])
  before = np.concatenate([[0], ends])[bounds[:-1]]
  offsets[order] = ends - lengths[order] - np.repeat(before, counts)
  return packing.Packing(capacity, lengths, rows, offsets, len(counts))


class _Numbered:
  """Element i: the number i, as often as piece i is long."""

  def __init__(self, lengths: np.ndarray) -> None:
    self.lengths = lengths

  def __len__(self) -> int:
    return len(self.lengths)

  def __getitem__(self, index: Any) -> dict[str, np.ndarray]:
    return {"piece": np.full(self.lengths[int(index)], int(index), np.int32)}


def _ours(
    method: packing.Method, *, stream: bool, decreasing: bool = False
) -> Packer:
  def run(
      lengths: np.ndarray, capacity: int, limits: Limits
  ) -> packing.Packing:
    return packing.pack(
        lengths,
        capacity,
        method=method,
        max_segments=limits.max_segments,
        open_rows=limits.open_rows if stream else None,
        decreasing=decreasing,
    )

  return run


PLANNED = "planned, as training does"
METHODS: dict[str, Packer] = {
    "a row each": one_a_row,
    "first-fit": _ours("first_fit", stream=True),
    "Grain best-fit": grain_best_fit,
    "best-fit": _ours("best_fit", stream=True),
    "first-fit, all rows open": _ours("first_fit", stream=False),
    "best-fit, all rows open": _ours("best_fit", stream=False),
    "best-fit, longest first": _ours(
        "best_fit", stream=False, decreasing=True
    ),
    PLANNED: planned,
}


def log_normal_lengths(
    number: int, *, mean: float, sigma: float, seed: int
) -> np.ndarray:
  """[number] int64 lengths of at least 1.

  Args:
    number: how many.
    mean: of the lengths.
    sigma: standard deviation of their logarithms.
    seed: of the draw.

  Raises:
    UserError: if a number is out of range.
  """
  if number < 1 or mean < 1 or sigma < 0:
    raise UserError(
        f"{number} lengths of mean {mean} and sigma {sigma}: the first two must"
        " be 1 or more, sigma 0 or more."
    )
  rng = np.random.default_rng(seed)
  middle = np.log(mean) - sigma**2 / 2
  drawn = np.exp(rng.normal(middle, sigma, number))
  return np.maximum(np.rint(drawn), 1).astype(np.int64)


def study(
    lengths: np.ndarray,
    capacities: Sequence[int],
    limits: Limits,
    *,
    seed: int,
) -> list[dict[str, Any]]:
  """Packs one set of sequences in every way.

  Sequences are cut in windows that begin with CLS, and the windows come in a
  random order, as in training; the same order for every method.

  Args:
    lengths: [n] tokens of each sequence, without CLS.
    capacities: tokens a row.
    limits: of the pipeline.
    seed: of the order.

  Returns:
    One row a capacity and method: the fields of `packing.PackingStats`,
    `segment_limit`, `cut_share` (of the sequences) and `pieces_a_second`.
  """
  found = []
  for capacity in capacities:
    pieces = packing.cut(lengths, capacity, overhead=_CLS)
    order = np.random.default_rng(seed).permutation(len(pieces.lengths))
    shuffled = dataclasses.replace(
        pieces,
        sequence=pieces.sequence[order],
        start=pieces.start[order],
        num_events=pieces.num_events[order],
        context=pieces.context[order],
    )
    for name, packer in METHODS.items():
      started = time.perf_counter()
      packed = packer(shuffled.lengths, capacity, limits.of(capacity))
      seconds = time.perf_counter() - started
      numbers = packing.stats(packed, shuffled)
      found.append({
          "capacity": capacity,
          "method": name,
          **dataclasses.asdict(numbers),
          "segment_limit": limits.of(capacity).max_segments,
          "cut_share": numbers.cut_sequences / max(len(lengths), 1),
          "pieces_a_second": round(len(order) / max(seconds, 1e-9)),
      })
  return found
