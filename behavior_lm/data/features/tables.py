"""All categories of a table as ids of ONE array of vectors.

Each table of values (users, items, genres, ...) has a range of ids:

  0                      padding, of no table
  offset                 missing: the cell is empty
  offset + 1             unknown: not in the vocabulary of the training rows
  offset + 2 ...         the values, or the buckets of their hashes

so one gather fetches the vectors of all columns. Values that retraining adds
get ids behind those of all tables, so that known ones keep theirs.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.data.features.values import hash_bucket
from behavior_lm.data.features.values import MISSING
from behavior_lm.data.features.values import NUM_SPECIAL
from behavior_lm.data.features.values import UNKNOWN
from behavior_lm.data.features.values import value_ids

PADDING = 0


@dataclasses.dataclass(frozen=True)
class ValueTable:
  """The ids of one table of values.

  Attributes:
    offset: its first id.
    values: of the vocabulary, the most frequent first; empty if hashed.
    buckets: of hashes; 0 with a vocabulary.
    later: (first id, number) of the last of the values, which retraining added.
  """

  offset: int
  values: tuple[str, ...] = ()
  buckets: int = 0
  later: tuple[tuple[int, int], ...] = ()

  @property
  def size(self) -> int:
    """Ids of the table, with those of missing and unknown."""
    return NUM_SPECIAL + (self.buckets or len(self.values))

  @property
  def missing(self) -> int:
    return self.offset + MISSING

  @property
  def unknown(self) -> int:
    return self.offset + UNKNOWN

  def ids(self, texts: pl.Series) -> np.ndarray:
    """[n] texts, null for missing -> [n] int32 ids."""
    if self.buckets:
      own = texts.unique().drop_nulls()
      first = self.offset + NUM_SPECIAL
      codes = [first + hash_bucket(text, self.buckets) for text in own]
    else:
      own = pl.Series(self.values, dtype=pl.String)
      codes = value_ids(self.offset, len(self.values), self.later)
    found = texts.replace_strict(
        own,
        pl.Series(codes, dtype=pl.Int32),
        default=self.unknown,
        return_dtype=pl.Int32,
    )
    empty = texts.is_null().to_numpy()
    known = found.fill_null(self.unknown).to_numpy()
    return np.where(empty, self.missing, known).astype(np.int32)

  def extended(
      self, values: Sequence[str], first_id: int
  ) -> "ValueTable":
    """With values that it does not have yet, whose ids begin at `first_id`."""
    if not values:
      return self
    return dataclasses.replace(
        self,
        values=(*self.values, *values),
        later=(*self.later, (first_id, len(values))),
    )

  def to_json(self) -> dict[str, Any]:
    return dataclasses.asdict(self) | {"values": list(self.values)}

  @classmethod
  def of_json(cls, found: Mapping[str, Any]) -> "ValueTable":
    return cls(
        int(found["offset"]),
        tuple(str(value) for value in found["values"]),
        int(found["buckets"]),
        tuple((int(at), int(n)) for at, n in found.get("later", ())),
    )


def frequent_values(
    columns: Sequence[pl.Series], min_count: int, max_values: int
) -> tuple[str, ...]:
  """The values of columns that share a table, by frequency, then by text."""
  counts = (
      pl.concat([column.drop_nulls().rename("value") for column in columns])
      .value_counts()
      .filter(pl.col("count") >= min_count)
      .sort("count", "value", descending=[True, False])
  )
  values = counts["value"].to_list()
  return tuple(values[:max_values] if max_values else values)


def bag_ids(
    cells: pl.Series, separator: str, max_length: int, table: ValueTable
) -> np.ndarray:
  """[n] texts of several values -> [n, max_length] int32, padded at the end.

  An empty cell is one "missing", so that a row always has a vector.
  """
  parts = cells.str.split(separator).list.eval(
      pl.element().str.strip_chars().replace("", None).drop_nulls()
  )
  lists = parts.list.head(max_length)
  flat = pl.DataFrame({
      "row": np.arange(len(cells), dtype=np.int64),
      "value": lists,
  }).explode("value")
  rows = flat["row"].to_numpy()
  first = np.searchsorted(rows, rows, side="left")
  out = np.full((len(cells), max_length), PADDING, np.int32)
  out[rows, np.arange(len(rows)) - first] = table.ids(flat["value"])
  return out


def split_values(cells: pl.Series, separator: str) -> pl.Series:
  """All values of cells that hold several, one per place."""
  if not separator:
    return cells
  values = cells.drop_nulls().str.split(separator).explode()
  return values.str.strip_chars().replace("", None)
