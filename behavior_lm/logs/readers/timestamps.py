"""Turns the time column of a log into microseconds UTC.

A column of numbers counts seconds, milli-, micro- or nanoseconds since 1970;
the size of its median says which, once a file. Times without an offset are
read in one time zone; times with one are taken as they are.
"""

import dataclasses
import datetime
from typing import Any
import zoneinfo

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import local_time
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import time_text

DEFAULT_ZONE = "UTC"
# Kind of the times of a log that knows the order of its events alone.
ORDINAL = "order of the lines, a second each (the log has no times)"
# Microseconds in a unit; None divides by 1,000 instead.
UNITS: dict[str, int | None] = {
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
    "ns": None,
}
_EARLIEST = datetime.datetime(1990, 1, 1, tzinfo=datetime.UTC)
_FUTURE = datetime.timedelta(days=2)
# Far outside of any accepted time, far inside of int64.
_LIMIT_US = 2**60


@dataclasses.dataclass(frozen=True)
class Seen:
  """Where a kind of time was first seen."""

  file: str
  row: int
  value: str


class TimeReader:
  """Reads the time columns of all files of one log.

  Args:
    timezone: IANA name for times without an offset; None means that the
      person did not say: UTC then, and a log that also has times with an
      offset is refused.
    unit: of epoch numbers: s, ms, us, ns or auto.
    now: the present, for the check of future times.

  Attributes:
    zone: the name of the zone in use.
    kinds: {file: what its times were read as}, for the report.
    unclear: events in an hour that the clock shows twice, where nothing tells
      which pass it is; they count as the first.

  Raises:
    UserError: if the zone or the unit is unknown.
  """

  def __init__(
      self,
      timezone: str | None,
      unit: str = "auto",
      now: datetime.datetime | None = None,
  ):
    self.zone = timezone or DEFAULT_ZONE
    check_timezone(self.zone)
    if unit != "auto" and unit not in UNITS:
      raise UserError(
          f"--time_unit {unit!r} is unknown; use auto, {', '.join(UNITS)}."
      )
    self.kinds: dict[str, str] = {}
    self._zone_given = timezone is not None
    self._unit = unit
    latest = (now or datetime.datetime.now(datetime.UTC)) + _FUTURE
    self._earliest = to_microseconds(_EARLIEST)
    self._latest = to_microseconds(latest)
    self._naive: Seen | None = None
    self._aware: Seen | None = None
    self._units: dict[str, str] = {}
    self._styles: dict[str, str] = {}
    self._clock = local_time.ZoneClock(self.zone)

  @property
  def unclear(self) -> int:
    return self._clock.unclear

  def notes(self) -> dict[str, Any]:
    """What was seen so far, as JSON; `absorb` takes it elsewhere."""
    return {
        "kinds": self.kinds,
        "units": self._units,
        "styles": self._styles,
        "unclear": self.unclear,
        "naive": self._naive and dataclasses.asdict(self._naive),
        "aware": self._aware and dataclasses.asdict(self._aware),
    }

  def absorb(self, notes: dict[str, Any]) -> None:
    """Goes on as if this reader had seen what another one noted before.

    Raises:
      UserError: as `read` does, if the two do not fit together.
    """
    for file, said in notes["kinds"].items():
      before = self.kinds.get(file, said)
      self.kinds[file] = before if said in before else f"{before}; {said}"
    self._units = notes["units"] | self._units
    self._styles = notes["styles"] | self._styles
    self._clock.unclear += notes["unclear"]
    self._naive = self._naive or (notes["naive"] and Seen(**notes["naive"]))
    self._aware = self._aware or (notes["aware"] and Seen(**notes["aware"]))
    self._refuse_mixture()

  def read(
      self,
      values: pl.Series,
      rows: pl.Series,
      file: str,
      users: pl.Series | None = None,
  ) -> tuple[pl.Series, pl.Series]:
    """Reads one batch.

    Args:
      values: the time column as it was found; a Duration counts from 1970
        and stands for the place in a log without times.
      rows: row numbers, same length, for messages.
      file: its name, for messages.
      users: whose events they are: the order of a user's events tells apart
        the two passes of an hour that the clock shows twice.

    Returns:
      Int64 microseconds UTC, and String reasons to reject the row, null
      where it is fine.

    Raises:
      UserError: if the column cannot hold times, or times with and without
        an offset meet while no time zone was given.
    """
    kind = values.dtype
    empty = values.is_null()
    if users is None:
      users = rows.cast(pl.String)
    if kind == pl.String:
      empty |= (values.str.strip_chars() == "").fill_null(False)
      times, skipped = self._read_text(values, rows, file, users)
    elif isinstance(kind, pl.Duration):
      self.kinds[file] = ORDINAL
      times = values.cast(pl.Duration("us")).to_physical()
      return times, self._reasons(times, empty, None, ordinal=True)
    elif kind.is_integer() and self._is_compact(values, file):
      text = values.cast(pl.String)
      times, skipped = self._read_text(text, rows, file, users)
    elif kind.is_numeric():
      times, skipped = self._from_numbers(values, file), None
    elif isinstance(kind, pl.Datetime) and kind.time_zone is not None:
      self._note(values, rows, file, aware=True)
      # Its physical values count from 1970 UTC whatever the zone.
      times = values.cast(pl.Datetime("us", kind.time_zone)).to_physical()
      skipped = None
    elif isinstance(kind, pl.Datetime) or kind == pl.Date:
      self._note(values, rows, file, aware=False)
      local = values.cast(pl.Datetime("us"))
      whole = pl.Series([kind == pl.Date]).new_from_index(0, len(local))
      times = self._clock.to_utc(local, whole, users)
      skipped = local.is_not_null() & times.is_null()
    elif kind == pl.Null:
      times, skipped = values.cast(pl.Int64), None
    else:
      raise UserError(
          f"{file}: a column of type {kind} cannot hold timestamps; use"
          " datetimes, numbers or text."
      )
    return times, self._reasons(times, empty, skipped)

  def _read_text(
      self, values: pl.Series, rows: pl.Series, file: str, users: pl.Series
  ) -> tuple[pl.Series, pl.Series | None]:
    style = self._style(values, file)
    if style == time_text.NUMBERS:
      return self._from_numbers(time_text.parse_numbers(values), file), None
    parsed = time_text.parse_times(values, style)
    local, offset = parsed["local"], parsed["offset"]
    readable, aware = local.is_not_null(), offset.is_not_null()
    for mask, is_aware in ((aware, True), (~aware, False)):
      mask &= readable
      if mask.any():
        self._note(
            values.filter(mask), rows.filter(mask), file, aware=is_aware
        )
    times = self._clock.to_utc(local, parsed["whole_day"], users)
    skipped = readable & ~aware & times.is_null()
    if aware.any():
      times = (
          pl.DataFrame({"naive": times, "local": local, "offset": offset})
          .select(
              pl.when(pl.col("offset").is_null())
              .then("naive")
              .otherwise(pl.col("local").to_physical() - pl.col("offset"))
          )
          .to_series()
      )
    return times, skipped

  def _style(self, values: pl.Series, file: str) -> str:
    """How a file writes times, by its first batch that has any."""
    if file not in self._styles and values.null_count() < len(values):
      self._styles[file] = time_text.style_of(
          values, compact=self._unit == "auto"
      )
    return self._styles.get(file, time_text.ISO)

  def _is_compact(self, values: pl.Series, file: str) -> bool:
    """Whether whole numbers are dates, such as 20240601."""
    if file not in self._styles:
      # Few are enough to tell numbers that count seconds from dates.
      first = values.drop_nulls().head(1_000).cast(pl.String)
      self._style(first, file)
    return self._styles.get(file) == time_text.COMPACT

  def _from_numbers(self, values: pl.Series, file: str) -> pl.Series:
    """Epoch numbers -> Int64 microseconds."""
    if file not in self._units:
      guessed = self._unit == "auto"
      self._units[file] = guess_unit(values) if guessed else self._unit
      how = "by their size" if guessed else "as --time_unit says"
      self.kinds[file] = f"epoch numbers in {self._units[file]} ({how})"
    factor = UNITS[self._units[file]]
    if values.dtype.is_integer():
      whole = values.cast(pl.Int64, strict=False)
      if factor is None:
        return whole // 1000
      # Clipped, since a product beyond int64 would wrap into range.
      return whole.clip(-_LIMIT_US // factor, _LIMIT_US // factor) * factor
    scaled = values.cast(pl.Float64) * (1e-3 if factor is None else factor)
    finite = pl.select(pl.when(scaled.is_finite()).then(scaled)).to_series()
    return finite.clip(-float(_LIMIT_US), float(_LIMIT_US)).round().cast(
        pl.Int64
    )

  def _reasons(
      self,
      times: pl.Series,
      empty: pl.Series,
      skipped: pl.Series | None,
      *,
      ordinal: bool = False,
  ) -> pl.Series:
    time = pl.col("time")
    if skipped is None:
      skipped = pl.Series([False]).new_from_index(0, len(times))
    frame = pl.DataFrame({"time": times, "empty": empty, "skipped": skipped})
    return frame.select(
        pl.when("empty")
        .then(pl.lit(quarantine.NO_TIME))
        .when("skipped")
        .then(pl.lit(quarantine.SKIPPED_TIME))
        .when(time.is_null())
        .then(pl.lit(quarantine.UNREADABLE_TIME))
        .when(time < 0)
        .then(pl.lit(quarantine.NEGATIVE_TIME))
        .when((time < self._earliest) & ~pl.lit(ordinal))
        .then(pl.lit(quarantine.EARLY_TIME))
        .when(time > self._latest)
        .then(pl.lit(quarantine.FUTURE_TIME))
        .alias("reason")
    ).to_series()

  def _note(
      self, values: pl.Series, rows: pl.Series, file: str, *, aware: bool
  ) -> None:
    """Remembers the first time of each kind; refuses a mixture."""
    present = values.is_not_null()
    if not present.any():
      return
    place = int(present.arg_max() or 0)
    seen = Seen(file, int(rows[place]), str(values[place]))
    if aware:
      self._aware = self._aware or seen
      said = "with an offset"
    else:
      self._naive = self._naive or seen
      said = f"without an offset, read as {self.zone}"
    before = self.kinds.get(file)
    if before is None:
      self.kinds[file] = said
    elif said not in before:
      self.kinds[file] = f"{before}; {said}"
    self._refuse_mixture()

  def _refuse_mixture(self) -> None:
    if self._aware and self._naive and not self._zone_given:
      raise UserError(
          "the log mixes times with and without an offset, and --timezone is"
          f" not given: {self._aware.file}:{self._aware.row} has"
          f" {self._aware.value!r}, {self._naive.file}:{self._naive.row} has"
          f" {self._naive.value!r}. Pass --timezone with the zone of the times"
          " that have none, for example --timezone UTC."
      )


def guess_unit(values: pl.Series) -> str:
  """Unit of epoch numbers by the size of their median."""
  numbers = values.cast(pl.Float64)
  size = numbers.filter(numbers.is_finite()).abs().median()
  for unit, limit in (("s", 1e11), ("ms", 1e14), ("us", 1e17)):
    if not isinstance(size, float) or size < limit:
      return unit
  return "ns"


def check_timezone(name: str) -> None:
  """Raises UserError if `name` is not an IANA time zone."""
  try:
    zoneinfo.ZoneInfo(name)
  except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
    raise UserError(
        f"--timezone {name!r} is unknown; use an IANA name, for example UTC or"
        " Asia/Shanghai."
    ) from error


def to_microseconds(moment: datetime.datetime) -> int:
  """An aware datetime -> microseconds since 1970 UTC, exact."""
  epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
  return (moment - epoch) // datetime.timedelta(microseconds=1)


def from_seconds(seconds: float) -> datetime.datetime:
  """Seconds since 1970 UTC -> an aware datetime."""
  return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def parse_moment(text: str, zone: str, flag: str) -> int:
  """Reads the value of a flag, such as `2019-12-15`, as microseconds UTC.

  Raises:
    UserError: if it is not a date or a time.
  """
  frame = time_text.parse_times(pl.Series([text], dtype=pl.String))
  local, offset = frame["local"][0], frame["offset"][0]
  if local is None:
    raise UserError(
        f"{flag} {text!r} is not a time; write it as 2019-12-15 or"
        " 2019-12-15T06:00:00+08:00."
    )
  if offset is not None:
    return to_microseconds(local.replace(tzinfo=datetime.UTC)) - int(offset)
  return to_microseconds(local.replace(tzinfo=zoneinfo.ZoneInfo(zone)))


def format_moment(microseconds: int) -> str:
  """Microseconds UTC -> `2019-12-15T00:00:00Z`."""
  epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
  moment = epoch + datetime.timedelta(microseconds=microseconds)
  return moment.isoformat().replace("+00:00", "Z")
