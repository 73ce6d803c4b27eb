"""Times on the clocks of a zone -> instants.

When the clock goes back, an hour happens twice; when it goes forward, one is
missing. The order of a log tells the two passes of the hour apart: where the
times fall inside of it, the second pass begins. A date alone begins with the
first pass.
"""

import datetime

import polars as pl

_STEP = pl.duration(minutes=30)


class ZoneClock:
  """Reads local times of one zone, batch after batch in the log's order.

  Args:
    zone: IANA name.

  Attributes:
    unclear: events in an hour that happens twice whose pass nothing tells;
      they count as the first pass.
  """

  def __init__(self, zone: str):
    self.zone = zone
    self.unclear = 0

  def to_utc(
      self, local: pl.Series, whole_day: pl.Series, users: pl.Series
  ) -> pl.Series:
    """Local times -> instants.

    Args:
      local: Datetime us without a zone.
      whole_day: Boolean; the log gives the date alone.
      users: whose events they are, for the order of each one's.

    Returns:
      Int64 microseconds UTC; null where the clock never showed that time.
    """
    if self.zone == "UTC":
      return local.to_physical()
    times = _instants(local, self.zone, "null")
    odd = (times.is_null() & local.is_not_null()).arg_true()
    if not len(odd):
      return times
    # A type without dates alone writes them as midnights.
    at_midnight = (local.drop_nulls().dt.time() == datetime.time()).all()
    # A time that falls outside of such an hour: this is no order of time.
    part = slice(int(odd[0]), int(odd[-1]) + 1)
    falls = (local[part].diff() < datetime.timedelta(0)).fill_null(False)
    fine = times[part].is_null() & local[part].is_not_null()
    by_user = bool((falls & ~fine).any())
    frame = pl.DataFrame({
        "local": local.gather(odd),
        "day": (whole_day | at_midnight).gather(odd),
        "user": users.gather(odd),
    }).with_columns(
        _instants_of("earliest", self.zone).alias("early"),
        _instants_of("latest", self.zone).alias("late"),
    )
    return times.scatter(odd, self._resolve(frame, by_user=by_user))

  def _resolve(self, frame: pl.DataFrame, *, by_user: bool) -> pl.Series:
    """Which instant each time is that the clock shows twice or never."""
    twice = frame["early"].is_not_null()
    second, told = _second_pass(frame.filter(twice), by_user=by_user)
    self.unclear += int((~told & ~frame.filter(twice)["day"]).sum())
    early = frame["early"].to_list()
    late = frame["late"].to_list()
    places = twice.arg_true().to_list()
    for place, is_second in zip(places, second.to_list(), strict=True):
      early[place] = late[place] if is_second else early[place]
    missing = frame.filter(~twice)
    firsts = _day_begins(missing["local"], self.zone).to_list()
    for place, first, day in zip(
        (~twice).arg_true().to_list(),
        firsts,
        missing["day"].to_list(),
        strict=True,
    ):
      early[place] = first if day else None
    return pl.Series(early, dtype=pl.Int64)


def _second_pass(
    frame: pl.DataFrame, *, by_user: bool
) -> tuple[pl.Series, pl.Series]:
  """Whether each event is in the second pass of its hour, and whether known.

  The log as a whole is looked at first, since it tells the most; where it is
  in no order of time, each user's events are.

  Args:
    frame: local times in the order of the log, with their users.
    by_user: whether the log is known to be in no order of time.
  """
  if not frame.height:
    nothing = pl.Series([], dtype=pl.Boolean)
    return nothing, nothing
  fall = pl.col("local").diff() < pl.duration(seconds=0)
  frame = frame.with_columns(pl.col("local").dt.date().alias("day"))
  for keys in (["day"], ["day", "user"])[by_user:]:
    found = frame.with_columns(
        fall.fill_null(False).cum_sum().over(keys).alias("falls")
    ).with_columns(pl.col("falls").max().over(keys).alias("total"))
    # More falls than one: this is no order of time.
    known = found["total"] == 1
    if (found["total"] <= 1).all():
      break
  return (found["falls"] == 1) & known, known


def _day_begins(local: pl.Series, zone: str) -> pl.Series:
  """The first instant of the day of each time, where midnight is missing."""
  found = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(local))
  later = local
  for _ in range(6):
    later = later.to_frame("t").select(pl.col("t") + _STEP).to_series()
    same = later.dt.date() == local.dt.date()
    tried = _instants(later, zone, "earliest")
    usable = found.is_null() & same
    found = tried.zip_with(usable, found)
  return found


def _instants(local: pl.Series, zone: str, ambiguous: str) -> pl.Series:
  frame = local.alias("local").to_frame()
  return frame.select(_instants_of(ambiguous, zone)).to_series()


def _instants_of(ambiguous: str, zone: str) -> pl.Expr:
  return (
      pl.col("local")
      .dt.replace_time_zone(
          zone, ambiguous=ambiguous, non_existent="null"  # type: ignore[arg-type]
      )
      .dt.convert_time_zone("UTC")
      .to_physical()
  )
