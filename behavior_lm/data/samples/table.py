"""Reads a label table, sets bad rows aside, and counts what it did.

What happens to a row, in this order:

  no user, no or unreadable time, an unreadable label, no candidate, an
  unreadable number           quarantined with the reason
  same user, time and candidates, different labels
                              contradicting: all of these rows are quarantined
  same in all declared columns (an empty label agrees with every label)
                              one row is kept, with the labels of all of them
  same user, time, candidates and labels, other features or weight
                              kept and counted
  a label is missing          kept and counted; its code says "missing"
  no event before the row (unknown user, or the row is not later than the
  user's first event)         kept with an empty history, or dropped on demand

Quarantined rows are in `SampleTable.quarantined`, and in a file if one is
named. The order of the table depends on its content alone, never on the order
of the rows in the file.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import cells
from behavior_lm.data.samples import parse
from behavior_lm.data.samples import summary
from behavior_lm.data.samples.history import END_OF_HISTORY
from behavior_lm.data.samples.history import History
from behavior_lm.data.samples.sample_columns import LABEL
from behavior_lm.data.samples.sample_columns import ROW
from behavior_lm.data.samples.sample_columns import SampleColumns
from behavior_lm.data.samples.sample_columns import TIME
from behavior_lm.logs import schema
from behavior_lm.logs.readers.quarantine import Quarantine

EmptyHistory = Literal["keep", "drop"]
CONTRADICTION = "labels contradict those of another row"


@dataclasses.dataclass(frozen=True)
class SampleTable:
  """Labelled rows, one per sample.

  Attributes:
    columns: how the table was declared.
    frame: sorted by user and time (a missing time last), then by content:
      sample/row: Int64, the row in the source, counted from 1.
      user_id: String.
      sample/time: Datetime us UTC; null is the end of the user's history.
      label/NAME: Int8 (binary), String (multi_class), List(String)
        (multi_label) or Float64 (regression); null is missing.
      candidate/NAME: String, never null.
      dense/NAME: Float64; categorical/NAME and text/NAME: String; null is
        missing.
      sample/weight: Float64, never null.
    summary: what was counted, as JSON; `summary.to_markdown` reads it.
    quarantined: row, reason and text of the rows that were set aside.
  """

  columns: SampleColumns
  frame: pl.DataFrame
  summary: dict[str, Any]
  quarantined: pl.DataFrame

  def __len__(self) -> int:
    return self.frame.height


def times_of(frame: pl.DataFrame) -> np.ndarray:
  """[rows] int64 microseconds UTC, END_OF_HISTORY where there is none."""
  return frame[TIME].to_physical().fill_null(END_OF_HISTORY).to_numpy()


def read_table(
    source: str | Path | pl.DataFrame,
    columns: SampleColumns,
    history: History | None,
    *,
    empty_history: EmptyHistory = "keep",
    quarantine: Path | None = None,
    max_bad_fraction: float = 0.01,
) -> SampleTable:
  """Reads a label table and matches its users with a dataset.

  Args:
    source: a CSV, TSV or Parquet file, or a frame.
    columns: its declaration; other columns are left aside.
    history: of the dataset that holds the users' events; None where there is
      no such dataset: the rows are taken as they are.
    empty_history: "keep" or "drop" rows without an event before them.
    quarantine: JSON Lines file to write the rows that were set aside to.
    max_bad_fraction: a larger share of unreadable rows is an error.

  Returns:
    The table and its summary.

  Raises:
    UserError: if the file is unreadable, a column is missing or cannot hold
      what it is declared as, a time has no zone and none is declared, too many
      rows are unreadable, no row is left, or no user is in the dataset.
  """
  if empty_history not in ("keep", "drop"):
    raise UserError(f"empty_history {empty_history!r}; choose keep or drop.")
  if isinstance(source, pl.DataFrame):
    name, raw = "the frame", source
  else:
    name, raw = str(source), cells.read_file(Path(source))
  _check_columns(raw, columns, name)
  frame, reasons, time_kind = parse.parse(raw, columns, name)
  bad = _rejected(raw, columns, frame[ROW], reasons)
  _check_share(bad, raw.height, max_bad_fraction, name)
  frame = frame.filter(reasons.is_null())
  wrong = _contradicting(frame, columns)
  reasons = parse.reason_where(wrong, CONTRADICTION)
  contradicting = _rejected(raw, columns, frame[ROW], reasons)
  once, repeated = _merge_equal(frame.filter(~wrong), columns)
  quarantined = pl.concat([bad, contradicting]).sort("row")
  if quarantine is not None:
    _write_quarantine(quarantine, name, quarantined)
  if not once.height:
    raise UserError(
        f"{name}: no row of {raw.height:,} is left."
        f" {_reason_lines(quarantined)}"
    )
  found, matched = once, dict[str, Any]()
  if history is not None:
    found, matched = _match(once, history, empty_history, name)
  reason_counts = quarantined["reason"].value_counts().sort("reason")
  counts: dict[str, Any] = {
      "rows": raw.height,
      "quarantined": dict(reason_counts.iter_rows()),
      "contradicting_rows": contradicting.height,
      **repeated,
      **matched,
      "times": time_kind,
  }
  ordered = found.sort(columns.order(), nulls_last=True)
  return SampleTable(
      columns, ordered, summary.describe(ordered, columns) | counts, quarantined
  )


def _check_columns(
    raw: pl.DataFrame, columns: SampleColumns, name: str
) -> None:
  for column in columns.names():
    if column not in raw.columns:
      raise UserError(
          f"{name}: no column {column!r} among {raw.columns}. Correct the"
          " names in the declaration of the samples."
      )
  if not raw.height:
    raise UserError(f"{name}: it has no rows.")


def _rejected(
    raw: pl.DataFrame,
    columns: SampleColumns,
    rows: pl.Series,
    reasons: pl.Series,
) -> pl.DataFrame:
  """row, reason and the declared cells as JSON text of the rejected rows."""
  bad = pl.DataFrame({"row": rows, "reason": reasons}).filter(
      pl.col("reason").is_not_null()
  )
  found = raw[(bad["row"] - 1).to_numpy()].select(columns.names())
  text = found.select(pl.struct(pl.all()).struct.json_encode()).to_series()
  return bad.with_columns(text.alias("text"))


def _check_share(
    bad: pl.DataFrame, rows: int, max_bad_fraction: float, name: str
) -> None:
  if bad.height > max_bad_fraction * rows:
    raise UserError(
        f"{name}: {bad.height:,} of {rows:,} rows are unreadable;"
        f" max_bad_fraction allows {max_bad_fraction:.2%}."
        f" {_reason_lines(bad)} Correct the table or the declaration of its"
        " columns, or raise max_bad_fraction."
    )


def _reason_lines(bad: pl.DataFrame) -> str:
  """Each reason with its count and its first row."""
  first = bad.group_by("reason").agg(
      pl.len(), pl.all().sort_by("row").first()
  ).sort("len", "reason", descending=[True, False])
  return " ".join(
      f"{row['len']:,} x {row['reason']}, first in row {row['row']}:"
      f" {row['text'][:80]}."
      for row in first.iter_rows(named=True)
  )


def _write_quarantine(path: Path, name: str, bad: pl.DataFrame) -> None:
  file = Quarantine(path)
  file.add_all((name, *row) for row in bad.iter_rows())
  file.close()


def _contradicting(frame: pl.DataFrame, columns: SampleColumns) -> pl.Series:
  """[rows] bool, whether a label differs from one of the same key."""
  if not columns.labels:
    return pl.Series([False]).new_from_index(0, frame.height)
  differ = [
      columns.comparable(name).drop_nulls().n_unique().over(columns.key())
      > 1
      for name in columns.labels
  ]
  return frame.select(pl.any_horizontal(differ)).to_series()


def _merge_equal(
    frame: pl.DataFrame, columns: SampleColumns
) -> tuple[pl.DataFrame, dict[str, int]]:
  """Keeps one of equal rows, with the first label that is not missing."""
  same = columns.key() + columns.features()
  once = frame.group_by(same, maintain_order=True).agg(
      pl.col(ROW).min(),
      *(pl.col(LABEL + name).drop_nulls().first() for name in columns.labels),
  )
  distinct = once.select(columns.key()).n_unique() if once.height else 0
  return once.select(frame.columns), {
      "duplicate_rows": frame.height - once.height,
      "rows_with_other_features": once.height - distinct,
  }


def _match(
    frame: pl.DataFrame,
    history: History,
    empty_history: EmptyHistory,
    name: str,
) -> tuple[pl.DataFrame, dict[str, Any]]:
  """Counts the rows without a history, and drops them if asked to."""
  users = frame[schema.USER_ID]
  codes = history.codes(users)
  unknown = codes < 0
  if unknown.all():
    raise UserError(
        f"{name}: none of its {users.n_unique():,} users"
        f" ({cells.some(users.unique())}) is in the dataset"
        f" ({cells.some(history.users[schema.USER_ID])}). Are the ids written"
        " the same way?"
    )
  times = times_of(frame)
  empty = times <= history.first_events(codes)
  with_history = users.filter(pl.Series(~empty)).n_unique()
  counts = {
      "unknown_users": users.filter(pl.Series(unknown)).n_unique(),
      "unknown_user_rows": int(unknown.sum()),
      "rows_before_first_event": int((empty & ~unknown).sum()),
      "users_without_history": users.n_unique() - with_history,
      "rows_without_history": int(empty.sum()),
      "dropped_without_history": 0,
      "users_without_rows": len(history.users)
      - len(np.unique(codes[~unknown])),
  }
  if empty_history == "keep":
    return frame, counts
  if empty.all():
    raise UserError(
        f"{name}: no row has an event before it, and empty_history is 'drop'."
        " Is the time of the rows the start of what they describe?"
    )
  counts["dropped_without_history"] = int(empty.sum())
  return frame.filter(pl.Series(~empty)), counts
