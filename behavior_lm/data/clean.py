"""Turns what a reader found into canonical events; rejects the rest."""

import polars as pl

from behavior_lm.data import quarantine
from behavior_lm.data import schema
from behavior_lm.data import timestamps

ROW = "row"
WHY = "why"


def clean(
    raw: pl.DataFrame,
    *,
    file: str,
    times: timestamps.TimeReader,
    rejected: quarantine.Quarantine,
) -> pl.DataFrame:
  """Checks one batch.

  Args:
    raw: row (Int64), user_id, event_id, design_id (String) and timestamp in
      any type a TimeReader takes; where there is a column `why` (String), a
      value in it rejects the row for that reason.
    file: where it comes from.
    times: reads the timestamps.
    rejected: gets the bad rows.

  Returns:
    user_id, event_id, design_id and timestamp (Int64 microseconds UTC) of the
    good rows, in their order.
  """
  time, why = times.read(raw[schema.TIMESTAMP], raw[ROW], file)
  design = pl.col(schema.DESIGN_ID)
  frame = raw.with_columns(
      pl.when(design.is_null() | (design == ""))
      .then(pl.lit(schema.NO_DESIGN))
      .otherwise(design)
      .alias(schema.DESIGN_ID),
      time.alias("time"),
      why.alias("time_why"),
  )
  ids = (schema.USER_ID, schema.EVENT_ID, schema.DESIGN_ID)
  known = pl.col(WHY) if WHY in raw.columns else pl.lit(None, pl.String)
  reason = (
      pl.when(known.is_not_null())
      .then(known)
      .when(_empty(schema.USER_ID))
      .then(pl.lit(quarantine.NO_USER))
      .when(_empty(schema.EVENT_ID))
      .then(pl.lit(quarantine.NO_EVENT))
      .when(
          pl.any_horizontal(
              pl.col(name).str.contains("\0", literal=True) for name in ids
          )
      )
      .then(pl.lit(quarantine.NUL_BYTE))
      .otherwise(pl.col("time_why"))
  )
  frame = frame.with_columns(reason.alias(WHY))
  bad = frame.filter(pl.col(WHY).is_not_null())
  if bad.height:
    _reject(bad, file, rejected)
    frame = frame.filter(pl.col(WHY).is_null())
  return frame.select(*ids, pl.col("time").alias(schema.TIMESTAMP))


def _empty(name: str) -> pl.Expr:
  column = pl.col(name)
  return column.is_null() | (column.str.strip_chars() == "")


def _reject(
    bad: pl.DataFrame, file: str, rejected: quarantine.Quarantine
) -> None:
  fields = [
      pl.col(name).cast(pl.String).fill_null("")
      for name in schema.EVENT_COLUMNS
  ]
  text = pl.concat_str(fields, separator=", ")
  listed = bad.select(ROW, WHY, text.alias("text"))
  rejected.add_all(
      (file, row, why, text) for row, why, text in listed.iter_rows()
  )
