"""Codes of (event, design) pairs: one table a reading task, one in the end."""

from collections.abc import Iterable

import numpy as np
import polars as pl

from behavior_lm.logs import schema

_PAIR = [schema.EVENT_ID, schema.DESIGN_ID]
_EMPTY = pl.DataFrame(schema=dict.fromkeys(_PAIR, pl.String))


class PairTable:
  """Codes of pairs in the order of their discovery."""

  def __init__(self) -> None:
    self._pairs = _EMPTY.with_columns(code=pl.lit(None, pl.Int32))

  @property
  def pairs(self) -> pl.DataFrame:
    """event_id and design_id; the row number is the code."""
    return self._pairs.select(_PAIR)

  def encode(self, events: pl.DataFrame) -> np.ndarray:
    """Events with event_id and design_id -> [n] int32 codes."""
    # In the order of the log, so that a task done again gives the same codes.
    found = events.select(_PAIR).unique(maintain_order=True)
    known = found.join(
        self._pairs, on=_PAIR, how="left", maintain_order="left"
    )
    new = known.filter(pl.col("code").is_null()).select(_PAIR)
    if new.height:
      first = self._pairs.height
      new = new.with_columns(
          pl.int_range(first, first + new.height, dtype=pl.Int32).alias("code")
      )
      self._pairs = pl.concat([self._pairs, new])
      known = pl.concat([known.filter(pl.col("code").is_not_null()), new])
    coded = events.select(_PAIR).join(
        known, on=_PAIR, how="left", maintain_order="left"
    )
    return coded["code"].to_numpy()


def merge(tables: Iterable[pl.DataFrame]) -> pl.DataFrame:
  """All pairs of some tables, sorted; the row number is the final code.

  Codes by discovery would tell how early, and so how often, a pair occurs,
  on the test days too.
  """
  merged = _EMPTY
  for table in tables:
    merged = pl.concat([merged, table.select(_PAIR)]).unique()
  return merged.sort(_PAIR)


def final_codes(table: pl.DataFrame, pairs: pl.DataFrame) -> np.ndarray:
  """The final code of each code of one table.

  Args:
    table: event_id and design_id of a reading task.
    pairs: of all of them, as `merge` returns them.

  Returns:
    [rows of table] int32.
  """
  coded = table.select(_PAIR).join(
      pairs.select(_PAIR).with_row_index("code"),
      on=_PAIR,
      how="left",
      maintain_order="left",
  )
  return coded["code"].cast(pl.Int32).to_numpy()
