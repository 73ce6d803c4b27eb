"""A table of events -> one sequence a user, or a user's day."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.categories import NONE
from behavior_lm.data.categories import UNKNOWN
from behavior_lm.data.token_source import Fields
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.inference.sequences import Reader
from behavior_lm.inference.values import microseconds
from behavior_lm.logs import schema
from behavior_lm.logs.readers.timestamps import check_timezone
from behavior_lm.logs.sequences import local_days
from behavior_lm.logs.sequences import UNITS
from behavior_lm.logs.sequences import USER_DAY

_USER, _TIME = "_user", "_time"
_IDS = (schema.USER_ID, schema.EVENT_ID, schema.DESIGN_ID)
_REQUIRED = (schema.USER_ID, schema.EVENT_ID, schema.TIMESTAMP)


def cut_frame(
    frame: pl.DataFrame,
    reader: Reader,
    *,
    unit: str = "user",
    timezone: str = "UTC",
) -> tuple[pl.DataFrame, Iterator[Fields]]:
  """Cuts a table of events into sequences.

  Rows of a user need not lie together, nor be sorted: a table has no order
  that a log would not. Ties in time keep their order.

  Args:
    frame: user_id, event_id, design_id (optional) and timestamp (Datetime of
      any unit and zone, without a zone UTC; or integers, microseconds UTC),
      and the extra columns that the model reads. The account's age counts
      from a user's first row.
    reader: of the model.
    unit: "user", or "user_day" for calendar days.
    timezone: of the days.

  Returns:
    A frame user_id, start, num_events, one row a sequence, users in the order
    of their first row; and the sequences, made when asked for.

  Raises:
    UserError: if a column is missing, has nulls or cannot be read.
  """
  if unit not in UNITS:
    raise UserError(f"unit {unit!r}; known are {', '.join(UNITS)}.")
  check_timezone(timezone)
  events = _sorted_events(_canonical(frame, reader))
  user, time = events[_USER].to_numpy(), events[_TIME].to_numpy()
  begins = np.ones(len(user), bool)
  begins[1:] = np.diff(user) != 0
  if unit == USER_DAY:
    begins[1:] |= np.diff(local_days(time, timezone)) != 0
  first = np.flatnonzero(begins)
  after = np.append(first[1:], len(user)) if len(first) else first
  table = pl.DataFrame({
      schema.USER_ID: events[schema.USER_ID].gather(first),
      "start": pl.Series(time[first], dtype=pl.Int64).cast(
          schema.EVENT_SCHEMA[schema.TIMESTAMP]
      ),
      "num_events": pl.Series(after - first, dtype=pl.Int64),
  })
  units = _encode(events, reader.tokenizer)
  extras = {name: events[name].to_numpy() for name in reader.extras}
  born = time[np.searchsorted(user, user[first])]

  def sequences() -> Iterator[Fields]:
    for row, name in enumerate(table[schema.USER_ID]):
      events = slice(first[row], after[row])
      yield reader.from_units(
          units[events],
          time[events],
          f"user {name!r}",
          extras={key: values[events] for key, values in extras.items()},
          first_event=int(born[row]),
      )
    reader.known.warn()

  return table, sequences()


def _canonical(frame: pl.DataFrame, reader: Reader) -> pl.DataFrame:
  """Ids as texts, _TIME as Int64 microseconds; checked."""
  missing = [name for name in _REQUIRED if name not in frame.columns]
  if missing:
    raise UserError(
        f"the frame has no column {missing[0]!r}, it has"
        f" {', '.join(frame.columns)}. Rename yours to"
        f" {', '.join(schema.EVENT_COLUMNS)} (design_id is optional)."
    )
  design = pl.lit(None, pl.String).alias(schema.DESIGN_ID)
  if schema.DESIGN_ID in frame.columns:
    design = pl.col(schema.DESIGN_ID)
  extras = reader.extras
  for name in extras:
    if name not in frame.columns:
      raise UserError(
          f"the model reads the column {name!r}, but the frame has no such"
          " column; give one, with null where there is no value."
      )
    if name not in reader.categories and not frame.schema[name].is_numeric():
      raise UserError(
          f"the model reads numbers in the column {name!r}, but the frame has"
          f" {frame.schema[name]} there; cast it, with null where there is no"
          " number."
      )
  frame = frame.select(
      schema.USER_ID, schema.EVENT_ID, design, schema.TIMESTAMP, *extras
  )
  for name in _REQUIRED:
    if nulls := frame[name].null_count():
      row = int(frame[name].is_null().arg_max() or 0)
      raise UserError(
          f"column {name!r} of the frame has {nulls:,} nulls, the first in row"
          f" {row}. Drop those rows."
      )
  for name in _IDS:
    kind = frame.schema[name]
    text = isinstance(kind, pl.String | pl.Categorical | pl.Enum | pl.Null)
    if not text and not kind.is_integer():
      raise UserError(
          f"column {name!r} of the frame is {kind}; ids are texts. Cast it."
      )
  texts = frame.select(pl.col(_IDS).cast(pl.String))
  for name in (schema.USER_ID, schema.EVENT_ID):
    blank = texts[name].str.strip_chars() == ""
    if blank.any():
      raise UserError(
          f"column {name!r} of the frame is empty in row"
          f" {blank.arg_max()}. Drop such rows."
      )
  return texts.with_columns(
      pl.col(schema.DESIGN_ID).replace("", None).fill_null(schema.NO_DESIGN),
      pl.Series(_TIME, _times(frame[schema.TIMESTAMP]), pl.Int64),
      *(_extra(frame[name], reader) for name in extras),
  )


def _extra(values: pl.Series, reader: Reader) -> pl.Series:
  """An extra column as numbers, NaN where there is none, or as codes."""
  codes = reader.categories.get(values.name)
  if codes is None:
    return values.cast(pl.Float64).fill_null(np.nan)
  texts = values.cast(pl.String)
  return (
      texts.replace_strict(dict(codes), default=UNKNOWN, return_dtype=pl.Int32)
      .zip_with(texts.is_not_null(), pl.Series([NONE], dtype=pl.Int32))
      .alias(values.name)
  )


def _times(values: pl.Series) -> Any:
  if isinstance(values.dtype, pl.Datetime):
    # Physical values count from 1970 UTC whatever the zone.
    return values.dt.cast_time_unit("us").to_physical()
  if values.dtype.is_integer():
    # Microseconds; other units are found by their size.
    microseconds(values.to_numpy(), "column 'timestamp'")
    return values
  raise UserError(
      f"column 'timestamp' of the frame is {values.dtype}; cast it to Datetime"
      " (pl.col('timestamp').str.to_datetime(time_zone='UTC') reads texts)."
  )


def _sorted_events(events: pl.DataFrame) -> pl.DataFrame:
  """Adds _USER, the rank of first appearance; sorts by it and by time."""
  users = (
      events.select(pl.col(schema.USER_ID).unique(maintain_order=True))
      .with_row_index(_USER)
      .with_columns(pl.col(_USER).cast(pl.Int64))
  )
  return events.join(
      users, on=schema.USER_ID, how="left", maintain_order="left"
  ).sort(_USER, _TIME, maintain_order=True)


def _encode(events: pl.DataFrame, tokenizer: Tokenizer) -> np.ndarray:
  """[num_rows] int32: each distinct pair is looked up once."""
  pair = [schema.EVENT_ID, schema.DESIGN_ID]
  pairs = events.select(pair).unique(maintain_order=True)
  pairs = pairs.with_columns(
      pl.Series("unit", tokenizer.unit_table(pairs), pl.Int32)
  )
  joined = events.select(pair).join(
      pairs, on=pair, how="left", maintain_order="left"
  )
  return joined["unit"].to_numpy()
