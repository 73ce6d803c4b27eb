"""What the extra columns of a dataset hold, in numbers.

Means and deviations are to be the same however the log was partitioned, so
sums are taken over pieces of sequences and then over all pieces in the order
of the dataset: the pieces depend on the sequences alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from behavior_lm.logs import schema
from behavior_lm.logs import sequences
from behavior_lm.logs import splits

# Events of a piece, and about how many are looked at together.
_PIECE = 1 << 18
_TRAIN = splits.SPLITS.index(splits.TRAIN)
_NUM_SPLITS = len(splits.SPLITS)


def measure(
    block: sequences.Block, kinds: schema.Kinds, piece: int = _PIECE
) -> dict[str, np.ndarray]:
  """Measures the extra columns of a block.

  Args:
    block: whole sequences.
    kinds: of the extra columns.
    piece: events of a piece.

  Returns:
    Arrays for `ExtraStatistics.absorb`. For each column `NAME.missing` [splits]
    int64; for a categorical one `NAME.unknown` [splits] int64; for a numeric
    one, of each piece of train, `NAME.count`, `NAME.sum` and `NAME.squares`
    (of the distances to the mean of the piece), and `NAME.range` [2], the
    least and the largest value of train.
  """
  found: dict[str, list[np.ndarray]] = {}
  begins, ends, codes = _pieces(block, piece)
  for first, last in _groups(ends, piece):
    events = slice(begins[first], ends[last - 1])
    starts = begins[first:last] - begins[first]
    sizes = ends[first:last] - begins[first:last]
    code = codes[first:last]
    for name, kind in kinds.items():
      values = np.asarray(block.extras[name][events])
      if kind == schema.CATEGORICAL:
        missing = values == schema.MISSING_CATEGORY
        unknown = values == schema.UNKNOWN_CATEGORY
        part = {
            "missing": _by_split(missing, starts, code),
            "unknown": _by_split(unknown, starts, code),
        }
      else:
        part = _numbers(values, starts, sizes, code)
      for key, array in part.items():
        found.setdefault(f"{name}.{key}", []).append(array)
  return {key: _join(key, arrays) for key, arrays in found.items()}


def _pieces(
    block: sequences.Block, piece: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Begin, end and split code of each piece, in order."""
  offset = block.table["offset"].to_numpy()
  length = block.table["num_events"].to_numpy()
  counts = -(-length // piece)
  sequence = np.repeat(np.arange(len(offset)), counts)
  before = np.cumsum(counts) - counts
  place = np.arange(len(sequence)) - np.repeat(before, counts)
  begins = offset[sequence] + piece * place
  ends = np.minimum(begins + piece, (offset + length)[sequence])
  return begins, ends, block.table["split"].to_numpy()[sequence]


def _groups(ends: np.ndarray, size: int) -> Iterator[tuple[int, int]]:
  """Runs of pieces with about `size` events each: first, one behind last."""
  if len(ends):
    changes = np.flatnonzero(np.diff(ends // size)) + 1
    yield from zip([0, *changes], [*changes, len(ends)], strict=True)


def _by_split(
    flags: np.ndarray, starts: np.ndarray, codes: np.ndarray
) -> np.ndarray:
  """How many flags are set in each split."""
  counts = np.add.reduceat(flags, starts, dtype=np.int64)
  return np.bincount(codes, counts, _NUM_SPLITS).astype(np.int64)


def _numbers(
    values: np.ndarray,
    starts: np.ndarray,
    sizes: np.ndarray,
    codes: np.ndarray,
) -> dict[str, np.ndarray]:
  known = ~np.isnan(values)
  train = codes == _TRAIN
  count = np.add.reduceat(known, starts, dtype=np.int64)
  total = np.add.reduceat(np.where(known, values, 0.0), starts)
  mean = total / np.maximum(count, 1)
  distance = np.where(known, values - np.repeat(mean, sizes), 0.0)
  squares = np.add.reduceat(distance * distance, starts)
  of_train = values[np.repeat(train, sizes) & known]
  return {
      "missing": _by_split(~known, starts, codes),
      "count": count[train],
      "sum": total[train],
      "squares": squares[train],
      "range": np.array([
          of_train.min(initial=np.inf), of_train.max(initial=-np.inf),
      ]),
  }  # fmt: skip


def _join(key: str, arrays: list[np.ndarray]) -> np.ndarray:
  if key.endswith((".missing", ".unknown")):
    return np.sum(arrays, axis=0)
  if key.endswith(".range"):
    return _range(arrays)
  return np.concatenate(arrays)


def _range(arrays: list[np.ndarray]) -> np.ndarray:
  low, high = np.transpose(arrays)
  return np.array([low.min(), high.max()])


class ExtraStatistics:
  """The measures of all blocks, one behind the other.

  Args:
    kinds: of the extra columns.
  """

  def __init__(self, kinds: schema.Kinds):
    self._kinds = kinds
    self._found: dict[str, list[np.ndarray]] = {}

  def absorb(self, state: Mapping[str, np.ndarray]) -> None:
    """Adds what `measure` found in the next block."""
    for name, kind in self._kinds.items():
      keys = ["missing", "unknown"]
      if kind == schema.NUMERIC:
        keys = ["missing", "count", "sum", "squares", "range"]
      for key in (f"{name}.{key}" for key in keys):
        if key in state:
          self._found.setdefault(key, []).append(state[key])

  def summary(
      self, events: Mapping[str, int], categories: Mapping[str, int]
  ) -> dict[str, dict[str, Any]]:
    """Describes the columns, as dataset.json has it.

    Args:
      events: the number of events of each split.
      categories: the number of codes of each categorical column.

    Returns:
      {name: {"kind", "missing"} and "mean", "std", "min", "max", "count" of a
      numeric column (the first four are None without a value) or "categories"
      and "unknown_share" (of the events with a value) of a categorical one}.
      All of them are of train. "splits" has {"missing", "unknown_share"} of
      each split; the latter for categories only.
    """
    found = {key: _join(key, arrays) for key, arrays in self._found.items()}
    described: dict[str, dict[str, Any]] = {}
    for name, kind in self._kinds.items():
      parts: dict[str, dict[str, Any]] = {}
      for code, split in enumerate(splits.SPLITS):
        if split in events:
          parts[split] = {"missing": int(found[f"{name}.missing"][code])}
          if kind == schema.CATEGORICAL:
            valued = events[split] - parts[split]["missing"]
            unknown = int(found[f"{name}.unknown"][code])
            parts[split]["unknown_share"] = unknown / max(valued, 1)
      described[name] = {"kind": kind}
      if kind == schema.CATEGORICAL:
        described[name] |= {"categories": categories[name]}
      else:
        described[name] |= _moments(name, found)
      described[name] |= parts[splits.TRAIN] | {"splits": parts}
    return described


def _moments(name: str, found: Mapping[str, np.ndarray]) -> dict[str, Any]:
  """Mean, deviation, range and number of the values of train."""
  count, total = found[f"{name}.count"], found[f"{name}.sum"]
  number = int(count.sum())
  if not number:
    empty = dict.fromkeys(("mean", "std", "min", "max"))
    return empty | {"count": 0}
  mean = float(total.sum() / number)
  # The deviations inside of the pieces, and those of their means (Chan et al.,
  # "Updating Formulae and a Pairwise Algorithm for Computing Sample
  # Variances", 1979).
  between = count * (total / np.maximum(count, 1) - mean) ** 2
  variance = float((found[f"{name}.squares"] + between).sum() / number)
  low, high = found[f"{name}.range"].tolist()
  return {
      "mean": mean,
      "std": variance**0.5,
      "min": low,
      "max": high,
      "count": number,
  }
