"""Turns what a reader found into canonical events; rejects the rest."""

from collections.abc import Iterable
from types import MappingProxyType

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import timestamps

ROW = "row"
WHY = "why"
# No column of a log has such a name here.
_TIME, _TIME_WHY = "__time", "__time_why"
# A larger number is taken for an error: models compute in float32.
_MAX_NUMBER = 3.4028234663852886e38


def clean(
    raw: pl.DataFrame,
    *,
    file: str,
    times: timestamps.TimeReader,
    rejected: quarantine.Quarantine,
    extras: schema.Kinds = MappingProxyType({}),
) -> pl.DataFrame:
  """Checks one batch.

  Args:
    raw: row (Int64), user_id, event_id, design_id (String) and timestamp in
      any type a TimeReader takes; where there is a column `why` (String), a
      value in it rejects the row for that reason.
    file: where it comes from.
    times: reads the timestamps.
    rejected: gets the bad rows.
    extras: kinds of the further columns of `raw`, which may be of any plain
      type.

  Returns:
    user_id, event_id, design_id, timestamp (Int64 microseconds UTC) and the
    extras of the good rows, in their order. Numeric extras are Float64, NaN
    where the log has no value; categorical ones are String, null there.

  Raises:
    UserError: if a column has a type that cannot hold what it should.
  """
  time, why = times.read(raw[schema.TIMESTAMP], raw[ROW], file)
  design = pl.col(schema.DESIGN_ID)
  frame = raw.with_columns(
      pl.when(design.is_null() | (design == ""))
      .then(pl.lit(schema.NO_DESIGN))
      .otherwise(design)
      .alias(schema.DESIGN_ID),
      time.alias(_TIME),
      why.alias(_TIME_WHY),
      *(
          _AS_KIND[kind](raw[name], file).alias("_" + name)
          for name, kind in extras.items()
      ),
  )
  ids = (schema.USER_ID, schema.EVENT_ID, schema.DESIGN_ID)
  texts = [*ids]
  texts += ["_" + n for n in extras if extras[n] == schema.CATEGORICAL]
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
              pl.col(name).str.contains("\0", literal=True) for name in texts
          )
      )
      .then(pl.lit(quarantine.NUL_BYTE))
      .when(pl.col(_TIME_WHY).is_not_null())
      .then(pl.col(_TIME_WHY))
  )
  for name, kind in extras.items():
    if kind == schema.NUMERIC:
      reason = reason.when(pl.col("_" + name).is_null()).then(
          pl.lit(quarantine.not_a_number(name))
      )
  frame = frame.with_columns(reason.otherwise(None).alias(WHY))
  bad = frame.filter(pl.col(WHY).is_not_null())
  if bad.height:
    _reject(bad, file, rejected, extras)
    frame = frame.filter(pl.col(WHY).is_null())
  return frame.select(
      *ids,
      pl.col(_TIME).alias(schema.TIMESTAMP),
      *(pl.col("_" + name).alias(name) for name in extras),
  )


def _as_number(values: pl.Series, file: str) -> pl.Series:
  """Float64: NaN where the log has no value, null where it is no number."""
  kind = values.dtype
  if kind in (pl.Categorical, pl.Enum):
    values, kind = values.cast(pl.String), pl.String()
  if kind == pl.String:
    text = values.str.strip_chars()
    empty = text.is_null() | (text == "").fill_null(False)
    numbers = text.cast(pl.Float64, strict=False)
  elif kind.is_numeric() or kind in (pl.Boolean, pl.Null):
    empty = values.is_null()
    numbers = values.cast(pl.Float64)
  else:
    raise UserError(
        f"{file}: column {values.name!r} is of type {kind}, which is no"
        " number. Leave it out of --extras."
    )
  number = pl.col("number")
  return pl.DataFrame({"empty": empty, "number": numbers}).select(
      pl.when("empty")
      .then(pl.lit(float("nan"), pl.Float64))
      .when(number.is_nan() | (number.abs() <= _MAX_NUMBER))
      .then(number)
  ).to_series()


def _as_category(values: pl.Series, file: str) -> pl.Series:
  """String: the value as the log has it, null where it is empty."""
  kind = values.dtype
  if kind.is_float():
    # pandas makes floats of whole numbers as soon as one is missing.
    whole = pl.col("value").cast(pl.Int64, strict=False)
    values = values.rename("value").to_frame().select(
        pl.when(whole.cast(kind) == pl.col("value"))
        .then(whole.cast(pl.String))
        .when(pl.col("value").is_not_nan())
        .then(pl.col("value").cast(pl.String))
    ).to_series()
  elif kind.is_nested() or kind.is_temporal() or kind == pl.Binary:
    raise UserError(
        f"{file}: column {values.name!r} is of type {kind}, which is no"
        " category. Leave it out of --extras."
    )
  text = values.cast(pl.String)
  return text.set(text.str.strip_chars() == "", None)


_AS_KIND = {schema.NUMERIC: _as_number, schema.CATEGORICAL: _as_category}


def _empty(name: str) -> pl.Expr:
  column = pl.col(name)
  return column.is_null() | (column.str.strip_chars() == "")


def _reject(
    bad: pl.DataFrame,
    file: str,
    rejected: quarantine.Quarantine,
    extras: Iterable[str],
) -> None:
  if isinstance(bad[schema.TIMESTAMP].dtype, pl.Duration):
    bad = bad.with_columns(pl.col(schema.TIMESTAMP).dt.total_seconds())
  fields = [
      pl.col(name).cast(pl.String).fill_null("")
      for name in (*schema.EVENT_COLUMNS, *extras)
  ]
  text = pl.concat_str(fields, separator=", ")
  listed = bad.select(ROW, WHY, text.alias("text"))
  rejected.add_all(
      (file, row, why, text) for row, why, text in listed.iter_rows()
  )
