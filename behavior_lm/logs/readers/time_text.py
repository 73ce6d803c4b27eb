"""Times written as text: `2019-12-04 10:01:22.5+08:00` and its relatives."""

import polars as pl

# What messages tell a person to write.
ACCEPTED = (
    "'2019-12-04 10:01:22', '2019-12-04T10:01:22.250+08:00', '2019-12-04' or"
    " epoch numbers"
)
_PLAIN = "%Y-%m-%d %H:%M:%S"
_PLAIN_LENGTH = 19
_TEXT = (
    r"^\s*(?P<date>\d{4}[-/]\d{2}[-/]\d{2})"
    r"(?:[T ](?P<time>\d{2}:\d{2})(?:(?P<second>:\d{2})"
    r"(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"\s*(?P<zone>Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?\s*$"
)
_NUMBER = r"^\s*[+-]?\d+(\.\d*)?([eE][+-]?\d+)?\s*$"
_HOUR_US = 3_600_000_000
_MINUTE_US = 60_000_000


def is_numeric(values: pl.Series) -> bool:
  """Whether most of the texts are plain numbers."""
  present = values.drop_nulls()
  return 2 * int(present.str.contains(_NUMBER).sum()) > len(present)


def parse_numbers(values: pl.Series) -> pl.Series:
  """Text -> Int64, or Float64 where some have a fraction; null if neither."""
  stripped = values.str.strip_chars()
  whole = stripped.cast(pl.Int64, strict=False)
  if whole.null_count() == values.null_count():
    return whole
  return stripped.cast(pl.Float64, strict=False)


def parse_times(values: pl.Series) -> pl.DataFrame:
  """Reads dates and times.

  Args:
    values: String.

  Returns:
    local: Datetime us without a zone, null where unreadable; offset: Int64
    microseconds east of UTC, null where the text has none.
  """
  lengths = values.str.len_bytes()
  if lengths.min() == lengths.max() == _PLAIN_LENGTH:
    local = values.str.to_datetime(_PLAIN, time_unit="us", strict=False)
    # One null may be another way of writing: the slower way knows them all.
    if local.null_count() == values.null_count():
      return pl.DataFrame({
          "local": local,
          "offset": pl.Series([None], dtype=pl.Int64).new_from_index(
              0, len(values)
          ),
      })
  parts = values.str.extract_groups(_TEXT).struct.unnest()
  return parts.select(
      _local().alias("local"),
      _offset().alias("offset"),
  )


def _local() -> pl.Expr:
  text = (
      pl.col("date").str.replace_all("/", "-", literal=True)
      + " "
      + pl.col("time").fill_null("00:00")
      + pl.col("second").fill_null(":00")
  )
  whole = text.str.to_datetime(_PLAIN, time_unit="us", strict=False)
  fraction = pl.col("fraction").fill_null("").str.pad_end(6, "0")
  return whole + pl.duration(
      microseconds=fraction.str.slice(0, 6).cast(pl.Int64)
  )


def _offset() -> pl.Expr:
  zone = pl.col("zone")
  sign = pl.when(zone.str.starts_with("-")).then(-1).otherwise(1)
  digits = zone.str.replace_all(r"[^0-9]", "").str.pad_end(4, "0")
  hours = digits.str.slice(0, 2).cast(pl.Int64)
  minutes = digits.str.slice(2, 2).cast(pl.Int64)
  return sign * (hours * _HOUR_US + minutes * _MINUTE_US)
