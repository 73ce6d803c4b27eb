"""Times on the clocks of a zone: an hour that is twice, and one missing."""

import datetime as dt
import zoneinfo

import polars as pl
import pytest

from behavior_lm.logs.readers import local_time
from tests.logs.support import log_files

_MINUTE = dt.timedelta(minutes=1)


def read(zone, local, users=None, whole=False):
  clock = local_time.ZoneClock(zone)
  found = clock.to_utc(
      pl.Series(local, dtype=pl.Datetime("us")),
      pl.Series([whole] * len(local)),
      pl.Series(users or ["u"] * len(local)),
  )
  return found.cast(pl.Datetime("us", "UTC")).to_list(), clock.unclear


def minutes(zone, start, count=240):
  """Instants a minute apart and what the clock of the zone shows."""
  instants = [start + i * _MINUTE for i in range(count)]
  zone = zoneinfo.ZoneInfo(zone)
  return instants, [t.astimezone(zone).replace(tzinfo=None) for t in instants]


@pytest.mark.parametrize(
    ("zone", "start"),
    [
        ("America/New_York", (2023, 11, 5, 4)),
        ("Europe/Berlin", (2023, 10, 28, 23)),
        ("Australia/Lord_Howe", (2024, 4, 6, 13)),  # Half an hour.
        ("America/Havana", (2023, 11, 5, 3)),  # Midnight happens twice.
        ("America/Sao_Paulo", (2018, 2, 18, 0)),
        ("Asia/Kolkata", (2023, 11, 5, 4)),  # No clock change.
    ],
)
def test_the_order_of_a_log_tells_the_two_passes_apart(zone, start):
  instants, local = minutes(zone, dt.datetime(*start, tzinfo=dt.UTC))
  assert read(zone, local) == (instants, 0)


def test_each_users_order_counts_where_the_log_is_sorted_by_user():
  start = dt.datetime(2023, 11, 5, 4, tzinfo=dt.UTC)
  instants, local = minutes("America/New_York", start)
  users = ["a"] * 240 + ["b"] * 240
  found = read("America/New_York", local * 2, users)
  assert found == (instants * 2, 0)


def test_what_nothing_tells_is_counted_and_the_first_pass():
  local = [dt.datetime(2023, 11, 5, 1, 10), dt.datetime(2023, 11, 5, 1, 20)]
  found, unclear = read("America/New_York", local)
  assert found[0] == dt.datetime(2023, 11, 5, 5, 10, tzinfo=dt.UTC)
  assert unclear == 2


@pytest.mark.parametrize(
    ("zone", "day", "want"),
    [
        ("America/Sao_Paulo", (2018, 11, 4), "2018-11-04T03:00"),
        ("Asia/Beirut", (2024, 3, 31), "2024-03-30T22:00"),
        ("Africa/Cairo", (2024, 4, 26), "2024-04-25T22:00"),
        ("America/Asuncion", (2023, 10, 1), "2023-10-01T04:00"),
        ("America/Santiago", (2023, 9, 3), "2023-09-03T04:00"),
        ("UTC", (2024, 3, 31), "2024-03-31T00:00"),
    ],
)
def test_a_day_without_a_midnight_begins_when_the_clock_starts(zone, day, want):
  want = dt.datetime.fromisoformat(want).replace(tzinfo=dt.UTC)
  assert read(zone, [dt.datetime(*day)], whole=True) == ([want], 0)
  # A column of midnights alone is one of dates.
  assert read(zone, [dt.datetime(*day)] * 2) == ([want] * 2, 0)


def test_a_date_alone_begins_with_the_first_of_two_midnights():
  want = dt.datetime(2023, 11, 5, 4, tzinfo=dt.UTC)
  day = dt.datetime(2023, 11, 5)
  assert read("America/Havana", [day] * 2, whole=True) == ([want] * 2, 0)


def test_falls_between_users_do_not_tell_the_passes():
  # Sorted by user: from one to the next, the clock does not go back.
  local = [
      dt.datetime(2023, 11, 5, hour, minute)
      for hour, minute in ((0, 10), (1, 50), (3, 0), (0, 20), (1, 10))
  ]
  found, unclear = read("America/New_York", local, list("aaabb"))
  assert found[4] == dt.datetime(2023, 11, 5, 5, 10, tzinfo=dt.UTC)
  assert unclear == 2


def test_a_time_that_never_was_stays_unread():
  local = [dt.datetime(2018, 11, 4, 0, 0), dt.datetime(2018, 11, 4, 0, 20)]
  assert read("America/Sao_Paulo", local) == ([None, None], 0)
  # Samoa had no 30 December 2011 at all.
  assert read("Pacific/Apia", [dt.datetime(2011, 12, 30)], whole=True)[0] == [
      None
  ]


def test_unclear_events_are_in_the_report(tmp_path):
  rows = [f"u{i % 3},e,0,2023-11-05 01:{i:02}:00" for i in range(30)]
  log = log_files.write_csv(tmp_path / "a.csv", rows)
  report = log_files.prepare(
      log, tmp_path / "out", timezone="America/New_York"
  )
  [found] = report["warnings"]
  assert (found["kind"], found["count"]) == ("unclear times", 30)


def test_days_may_be_of_another_zone_than_the_times(tmp_path):
  rows = [f"u,e{i},0,2024-06-01 {i:02}:30:00" for i in range(24)]
  log = log_files.write_csv(tmp_path / "a.csv", rows)
  report = log_files.prepare(
      log, tmp_path / "out", timezone="UTC", day_timezone="Asia/Tokyo"
  )
  # Tokyo's day begins at 15:00 UTC.
  assert report["splits"]["train"]["lengths"]["max"] == 15
  assert report["splits"]["train"]["num_sequences"] == 2
  assert report["start"] == "2024-06-01T00:30:00Z"
