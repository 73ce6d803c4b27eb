"""Turns the columns of a label table into columns of samples."""

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import cells
from behavior_lm.data.samples.sample_columns import BINARY
from behavior_lm.data.samples.sample_columns import CANDIDATE
from behavior_lm.data.samples.sample_columns import CATEGORICAL
from behavior_lm.data.samples.sample_columns import DENSE
from behavior_lm.data.samples.sample_columns import LABEL
from behavior_lm.data.samples.sample_columns import MULTI_CLASS
from behavior_lm.data.samples.sample_columns import REGRESSION
from behavior_lm.data.samples.sample_columns import ROW
from behavior_lm.data.samples.sample_columns import SampleColumns
from behavior_lm.data.samples.sample_columns import TEXT
from behavior_lm.data.samples.sample_columns import TIME
from behavior_lm.data.samples.sample_columns import WEIGHT
from behavior_lm.logs import schema
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers.timestamps import TimeReader

_STAMP = pl.Datetime("us", "UTC")


def parse(
    raw: pl.DataFrame, columns: SampleColumns, name: str
) -> tuple[pl.DataFrame, pl.Series, str]:
  """Reads every declared column.

  Args:
    raw: the source.
    columns: its declaration.
    name: of the source, for messages.

  Returns:
    The columns of `SampleTable.frame`, all rows in their order; the reason to
    reject each row, null where it is fine; and what the times were read as.

  Raises:
    UserError: if a column cannot hold what it is declared as, or a time has no
      zone and none is declared.
  """
  rows = pl.Series(ROW, np.arange(1, raw.height + 1))
  # Ids of users stay as they are written, as they do in the log.
  users = raw[columns.user] if columns.user else rows
  users = users.cast(pl.String).alias(schema.USER_ID)
  out = [rows, users]
  empty_user = users.is_null() | (users == "").fill_null(False)
  reasons = [reason_where(empty_user, quarantine.NO_USER)]
  time_kind = "none: each row sees the whole history of its user"
  times = pl.Series([None], dtype=pl.Int64).new_from_index(0, raw.height)
  if columns.time:
    times, unreadable, time_kind = _read_times(raw, rows, columns, name)
    reasons.append(unreadable)
  out.append(times.cast(_STAMP).alias(TIME))
  for label, kind in columns.labels.items():
    values = raw[label]
    if kind == BINARY:
      values, bad = cells.binary(values)
      reasons.append(reason_where(bad, f"label {label} is not 0 or 1"))
    elif kind == REGRESSION:
      values, bad = cells.finite(values)
      reasons.append(reason_where(bad, f"label {label} is not a number"))
    elif kind == MULTI_CLASS:
      values = cells.texts(values)
    else:
      values = cells.class_sets(values, columns.separator)
    out.append(values.alias(LABEL + label))
  for candidate in columns.candidates:
    values = cells.texts(raw[candidate])
    reasons.append(reason_where(values.is_null(), f"no candidate {candidate}"))
    out.append(values.alias(CANDIDATE + candidate))
  for feature in columns.dense:
    values, bad = cells.finite(raw[feature])
    reasons.append(reason_where(bad, f"feature {feature} is not a number"))
    out.append(values.alias(DENSE + feature))
  for feature in columns.categorical:
    out.append(cells.texts(raw[feature]).alias(CATEGORICAL + feature))
  for text in columns.texts:
    out.append(cells.texts(raw[text]).alias(TEXT + text))
  weights = pl.Series([1.0]).new_from_index(0, raw.height)
  if columns.weight:
    weights, bad = cells.finite(raw[columns.weight])
    bad |= weights.is_null() | (weights < 0).fill_null(False)
    reasons.append(reason_where(bad, "weight is not a number of at least 0"))
  out.append(weights.alias(WEIGHT))
  first = pl.select(pl.coalesce([pl.Series(r) for r in reasons])).to_series()
  return pl.DataFrame(out), first, time_kind


def _read_times(
    raw: pl.DataFrame, rows: pl.Series, columns: SampleColumns, name: str
) -> tuple[pl.Series, pl.Series, str]:
  """Int64 microseconds UTC, reasons to reject, and how they were read."""
  reader = TimeReader(columns.timezone or "UTC", columns.time_unit)
  times, reasons = reader.read(raw[columns.time], rows, name)
  naive = reader.notes()["naive"]
  if naive and not columns.timezone:
    raise UserError(
        f"{name}: column {columns.time!r} has times without a zone, the first"
        f" one in row {naive['row']} ({naive['value']!r}), and no timezone is"
        " declared. Set timezone to the zone in which they were written, for"
        " example UTC or Asia/Shanghai."
    )
  return times, reasons, reader.kinds.get(name, "none is readable")


def reason_where(bad: pl.Series, reason: str) -> pl.Series:
  """`reason` where a row is bad, else null."""
  return pl.select(pl.when(bad).then(pl.lit(reason))).to_series()


