"""Turns what a reader found into canonical events; rejects the rest."""

from collections.abc import Iterable
import dataclasses
from types import MappingProxyType

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import timestamps
from behavior_lm.logs.readers import value_text

ROW = "row"
WHY = "why"
# No column of a log has such a name here.
_TIME, _TIME_WHY = "__time", "__time_why"
# A larger number is taken for an error: models compute in float32.
_TRUTH = {"true": 1.0, "false": 0.0}
_MAX_NUMBER = 3.4028234663852886e38


@dataclasses.dataclass(frozen=True)
class Rules:
  """How a log writes values.

  Attributes:
    null_values: texts that mean that there is no value, in every column.
    decimal_comma: 1.234,5 is the number 1234.5.
  """

  null_values: tuple[str, ...] = ()
  decimal_comma: bool = False


_NO_RULES = Rules()


def _without_markers(raw: pl.DataFrame, rules: Rules) -> pl.DataFrame:
  """Null in place of the texts that mean it."""
  names = [n for n in raw.columns if raw.schema[n] == pl.String and n != WHY]
  if not rules.null_values:
    return raw
  return raw.with_columns(
      pl.when(~pl.col(name).str.strip_chars().is_in(rules.null_values)).then(
          pl.col(name)
      )
      for name in names
  )


def clean(
    raw: pl.DataFrame,
    *,
    file: str,
    times: timestamps.TimeReader,
    rejected: quarantine.Quarantine,
    extras: schema.Kinds = MappingProxyType({}),
    rules: Rules = _NO_RULES,
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
    rules: how values are written.

  Returns:
    user_id, event_id, design_id, timestamp (Int64 microseconds UTC) and the
    extras of the good rows, in their order. Numeric extras are Float64, NaN
    where the log has no value; categorical ones are String, null there.

  Raises:
    UserError: if a column has a type that cannot hold what it should.
  """
  raw = _without_markers(raw, rules)
  time, why = times.read(
      raw[schema.TIMESTAMP], raw[ROW], file, raw[schema.USER_ID]
  )
  design = pl.col(schema.DESIGN_ID)
  frame = raw.with_columns(
      pl.when(design.is_null() | (design == ""))
      .then(pl.lit(schema.NO_DESIGN))
      .otherwise(design)
      .alias(schema.DESIGN_ID),
      time.alias(_TIME),
      why.alias(_TIME_WHY),
      *(
          _AS_KIND[kind](raw[name], file, rules).alias("_" + name)
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


def _as_number(values: pl.Series, file: str, rules: Rules) -> pl.Series:
  """Float64: NaN where the log has no value, null where it is no number."""
  kind = values.dtype
  if kind in (pl.Categorical, pl.Enum):
    values, kind = values.cast(pl.String), pl.String()
  if kind == pl.String:
    text = values.str.strip_chars()
    if rules.decimal_comma:
      text = text.str.replace_all(".", "", literal=True)
      text = text.str.replace(",", ".", literal=True)
    empty = text.is_null() | (text == "").fill_null(False)
    numbers = text.cast(pl.Float64, strict=False)
    if numbers.null_count() > int(empty.sum()):
      word = text.str.to_lowercase()
      empty |= word.is_in(value_text.NO_NUMBER).fill_null(False)
      truth = word.replace_strict(_TRUTH, default=None, return_dtype=pl.Float64)
      numbers = numbers.zip_with(numbers.is_not_null(), truth)
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


def _as_category(values: pl.Series, file: str, rules: Rules) -> pl.Series:
  """String: the value as the log has it, null where it is empty."""
  kind = values.dtype
  is_time = kind.is_temporal() and kind != pl.Date
  if kind.is_nested() or is_time or kind == pl.Binary:
    raise UserError(
        f"{file}: column {values.name!r} is of type {kind}, which is no"
        " category. Leave it out of --extras."
    )
  text = value_text.of_series(values)
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
