"""Codes of distinct values: of (event, design) pairs, or of a category.

A reading task gives codes in the order of discovery and writes its table. The
tables of all tasks are merged, and the codes of each task are translated.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from behavior_lm.logs import schema

PAIR = (schema.EVENT_ID, schema.DESIGN_ID)
# The one column of the table of a categorical extra column.
VALUE = ("value",)


class CodeTable:
  """Codes of rows of some text columns, in the order of their discovery.

  Args:
    columns: names of the columns.
  """

  def __init__(self, columns: Sequence[str]):
    self._columns = list(columns)
    self._known = _empty(columns).with_columns(code=pl.lit(None, pl.Int32))

  @property
  def values(self) -> pl.DataFrame:
    """The columns; the row number is the code."""
    return self._known.select(self._columns)

  def encode(self, frame: pl.DataFrame) -> np.ndarray:
    """Gives codes.

    Args:
      frame: has the columns.

    Returns:
      [rows] int32 codes; -1 where a column has no value.
    """
    # In the order of the log, so that a task done again gives the same codes.
    wanted = frame.select(self._columns)
    found = wanted.drop_nulls().unique(maintain_order=True)
    known = found.join(
        self._known, on=self._columns, how="left", maintain_order="left"
    )
    new = known.filter(pl.col("code").is_null()).select(self._columns)
    if new.height:
      first = self._known.height
      new = new.with_columns(
          pl.int_range(first, first + new.height, dtype=pl.Int32).alias("code")
      )
      self._known = pl.concat([self._known, new])
      known = pl.concat([known.filter(pl.col("code").is_not_null()), new])
    coded = wanted.join(
        known, on=self._columns, how="left", maintain_order="left"
    )
    return coded["code"].fill_null(-1).to_numpy()


def merge(
    tables: Iterable[pl.DataFrame], columns: Sequence[str]
) -> pl.DataFrame:
  """All rows of some tables, each once and sorted.

  The row number is the merged code. Codes by discovery would tell how early,
  and so how often, a value occurs, on the test days too.
  """
  merged = _empty(columns)
  for table in tables:
    merged = pl.concat([merged, table.select(columns)]).unique()
  return merged.sort(columns)


def merged_codes(
    table: pl.DataFrame, merged: pl.DataFrame, columns: Sequence[str]
) -> np.ndarray:
  """The merged code of each code of one table.

  Args:
    table: of a reading task.
    merged: of all tasks, as `merge` returns it.
    columns: of both.

  Returns:
    [rows of table] int32.
  """
  coded = table.select(columns).join(
      merged.select(columns).with_row_index("code"),
      on=list(columns),
      how="left",
      maintain_order="left",
  )
  return coded["code"].cast(pl.Int32).to_numpy()


def _empty(columns: Sequence[str]) -> pl.DataFrame:
  return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
