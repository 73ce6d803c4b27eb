"""Times written as text: `2019-12-04 10:01:22.5+08:00` and its relatives.

A file writes its times in one of the styles below. 03/04/2019 is read where
another date of the file tells which number is the month, and only there; a
month with a name needs no such help.
"""

import polars as pl

# What messages tell a person to write.
ACCEPTED = (
    "'2019-12-04 10:01:22', '2019-12-04T10:01:22.250+08:00', '2019-12-04',"
    " '12/31/2019 10:01:22 PM' (if some day is over 12), '31.12.2019',"
    " '4 Dec 2019 10:01:22 +0800', 20191204, 20191204T100122Z or epoch numbers"
    " (--time_unit)"
)
# Styles.
ISO, NUMBERS, COMPACT = "iso", "numbers", "compact"
MONTH_FIRST, DAY_FIRST, NAMED = "month first", "day first", "named month"
_PLAIN = "%Y-%m-%d %H:%M:%S"
_PLAIN_LENGTH = 19
_TEXT = (
    r"^\s*(?P<date>\d{4}[-/]\d{2}[-/]\d{2})"
    r"(?:[T ](?P<time>\d{2}:\d{2})(?:(?P<second>:\d{2})"
    r"(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"\s*(?P<zone>Z|z|UTC|GMT|(?:UTC|GMT)?[+-]\d{2}(?::?\d{2})?)?\s*$"
)
_NUMBER = r"^\s*[+-]?\d+(\.\d*)?([eE][+-]?\d+)?\s*$"
_COMPACT = (
    r"^\s*(19[789]\d|20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
    r"(?:[T-]?([01]\d|2[0-3])[0-5]\d(?:[0-5]\d(?:\d{3})?)?"
    r"(?:Z|[+-]\d{2}:?\d{2})?)?\s*$"
)
_YEAR_LAST = (
    r"^\s*(?P<first>\d{1,2})(?P<sign>[/.-])(?P<second>\d{1,2})[/.-]"
    r"(?P<year>\d{4})(?:,?[ T]+(?P<hour>\d{1,2})(?P<minute>:\d{2})"
    r"(?P<rest>(?::\d{2}(?:[.,]\d{1,9})?)?)\s*(?P<half>[AaPp][.]?[Mm][.]?)?)?"
    r"(?P<zone>.*)$"
)
_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july",
    "august", "september", "october", "november", "december",
)  # fmt: skip
# [01/Jun/2024:10:00:00 +0000] and Sat, 1 Jun 2024; Jun 1, 2024 10:00 AM.
_WEEKDAY = r"(?i)^[\s\[]*(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?\s+)?"
_MONTH = f"(?P<month>{'|'.join((*_MONTHS, *(m[:3] for m in _MONTHS)))})"
_CLOCK = r"(?P<year>\d{4})(?:[:,T\s]+(?P<clock>\d.*?))?[\s\]]*$"
_NAMED = (
    rf"{_WEEKDAY}(?P<day>\d{{1,2}})[ /-]{_MONTH}[ /-]{_CLOCK}",
    rf"{_WEEKDAY}{_MONTH}\s+(?P<day>\d{{1,2}}),?\s+{_CLOCK}",
)
# Java appends the zone's name to an offset.
_ZONE_NAME = r"\[[A-Za-z0-9_/+-]+\]\s*$"
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


def style_of(values: pl.Series, *, compact: bool = True) -> str:
  """How the texts of a file are written.

  Args:
    values: String.
    compact: whether numbers such as 20240601 may be dates; as a count of
      seconds or smaller units since 1970 none of them is later than 1990.
  """
  present = values.drop_nulls()
  if compact and len(present) and present.str.contains(_COMPACT).all():
    return COMPACT
  if is_numeric(values):
    return NUMBERS
  if any(present.head(1_000).str.contains(p).any() for p in _NAMED):
    return NAMED
  parts = present.head(100_000).str.extract_groups(_YEAR_LAST).struct.unnest()
  first, second = parts["first"].cast(pl.Int64), parts["second"].cast(pl.Int64)
  if (parts["sign"] == ".").any() or (first > 12).any():
    return ISO if (second > 12).any() else DAY_FIRST
  return MONTH_FIRST if (second > 12).any() else ISO


def parse_times(values: pl.Series, style: str = ISO) -> pl.DataFrame:
  """Reads dates and times.

  Args:
    values: String.
    style: as `style_of` says.

  Returns:
    local: Datetime us without a zone, null where unreadable; offset: Int64
    microseconds east of UTC, null where the text has none; whole_day: whether
    the text is a date alone.
  """
  if style == COMPACT:
    values = _from_compact(values)
  elif style == NAMED:
    values = _from_year_last(_from_named(values), DAY_FIRST)
  elif style in (MONTH_FIRST, DAY_FIRST):
    values = _from_year_last(values, style)
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
          "whole_day": pl.Series([False]).new_from_index(0, len(values)),
      })
  values = values.str.replace(_ZONE_NAME, "")
  found = _parsed(values)
  if found["local"].null_count() > values.null_count():
    # Seldom needed, and not for free.
    return _parsed(_padded(values))
  return found


def _parsed(values: pl.Series) -> pl.DataFrame:
  parts = values.str.extract_groups(_TEXT).struct.unnest()
  return parts.select(
      _local().alias("local"),
      _offset().alias("offset"),
      pl.col("time").is_null().alias("whole_day"),
  )


def _padded(values: pl.Series) -> pl.Series:
  """`2024/6/1 9:30` -> `2024/06/01 09:30`; others as they are."""
  for short, padded in (
      (r"^(\s*\d{4}[-/])(\d[-/])", "${1}0${2}"),
      (r"^(\s*\d{4}[-/]\d{2}[-/])(\d)([T ]|$)", "${1}0${2}${3}"),
      (r"([T ])(\d:)", "${1}0${2}"),
  ):
    values = values.str.replace(short, padded)
  return values


def _from_named(values: pl.Series) -> pl.Series:
  """`Sat, 1 Jun 2024 10:00 GMT` -> `1/6/2024 10:00 GMT`; others as they are."""
  numbers = {name[:3]: str(n) for n, name in enumerate(_MONTHS, 1)}
  for pattern in _NAMED:
    parts = values.str.extract_groups(pattern).struct.unnest()
    plain = parts.select(
        pl.concat_str(
            pl.col("day"),
            pl.col("month").str.to_lowercase().str.head(3).replace(numbers),
            pl.col("year"),
            separator="/",
        )
        + (" " + pl.col("clock")).fill_null("")
    ).to_series()
    values = plain.zip_with(parts["year"].is_not_null(), values)
  return values


def _from_compact(values: pl.Series) -> pl.Series:
  """`20240601T103000Z` -> `2024-06-01 10:30:00Z`; others as they are."""
  date = r"^\s*(\d{4})(\d{2})(\d{2})"
  clock, zone = r"[T-]?(\d{2})(\d{2})", r"(Z|[+-]\d{2}:?\d{2})?"
  for tail, text in (
      ("", "$1-$2-$3"),
      (clock + zone, "$1-$2-$3 $4:$5$6"),
      (clock + r"(\d{2})" + zone, "$1-$2-$3 $4:$5:$6$7"),
      (clock + r"(\d{2})(\d{3})" + zone, "$1-$2-$3 $4:$5:$6.$7$8"),
  ):
    values = values.str.replace(date + tail + r"\s*$", text)
  return values


def _from_year_last(values: pl.Series, style: str) -> pl.Series:
  """`6/30/2024 1:05 PM` -> `2024-06-30 13:05`; others as they are."""
  names = ("first", "second") if style == MONTH_FIRST else ("second", "first")
  month, day = (pl.col(name).str.zfill(2) for name in names)
  hour = pl.col("hour").cast(pl.Int64)
  half = pl.col("half").str.to_lowercase().str.slice(0, 1)
  hour = (
      pl.when(half.is_null())
      .then(hour)
      # 12 AM is midnight, 12 PM noon; 13 PM is nothing.
      .when(hour.is_between(1, 12))
      .then(hour % 12 + 12 * (half == "p").cast(pl.Int64))
  )
  clock = hour.cast(pl.String).str.zfill(2) + pl.col("minute") + pl.col("rest")
  date = pl.concat_str(pl.col("year"), month, day, separator="-")
  text = (
      pl.when(pl.col("hour").is_null())
      .then(date)
      .otherwise(date + " " + clock)
  )
  parts = values.str.extract_groups(_YEAR_LAST).struct.unnest()
  iso = parts.select(text + pl.col("zone").fill_null("")).to_series()
  return iso.zip_with(parts["year"].is_not_null(), values)


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
  sign = pl.when(zone.str.contains("-", literal=True)).then(-1).otherwise(1)
  digits = zone.str.replace_all(r"[^0-9]", "").str.pad_end(4, "0")
  hours = digits.str.slice(0, 2).cast(pl.Int64)
  minutes = digits.str.slice(2, 2).cast(pl.Int64)
  return sign * (hours * _HOUR_US + minutes * _MINUTE_US)
