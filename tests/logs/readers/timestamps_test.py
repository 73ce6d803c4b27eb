import datetime
import zoneinfo

from hypothesis import given
from hypothesis import strategies as st
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import timestamps

_NOW = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
_MOMENTS = st.datetimes(
    datetime.datetime(1990, 1, 2), datetime.datetime(2024, 12, 31)
)


def reader(timezone=None, unit="auto"):
  return timestamps.TimeReader(timezone, unit, now=_NOW)


def read(values, timezone=None, unit="auto", dtype=None):
  """[(ISO time or None, reason or None)] of one batch."""
  series = pl.Series("t", values, dtype=dtype)
  times, why = reader(timezone, unit).read(
      series, pl.Series(range(1, len(series) + 1)), "log"
  )
  assert times.dtype == pl.Int64
  return [
      (None if why[n] or t is None else timestamps.format_moment(t), why[n])
      for n, t in enumerate(times)
  ]


def times(values, **options):
  found = read(values, **options)
  assert all(why is None for _, why in found), found
  return [time for time, _ in found]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("2019-12-04 10:01:22", "2019-12-04T10:01:22Z"),
        ("2019-12-04T10:01:22", "2019-12-04T10:01:22Z"),
        ("2019/12/04 10:01:22", "2019-12-04T10:01:22Z"),
        (" 2019-12-04 10:01 ", "2019-12-04T10:01:00Z"),
        ("2019-12-04", "2019-12-04T00:00:00Z"),
        ("2019-12-04 10:01:22.5", "2019-12-04T10:01:22.500000Z"),
        ("2019-12-04 10:01:22,250", "2019-12-04T10:01:22.250000Z"),
        ("2019-12-04 10:01:22.123456789", "2019-12-04T10:01:22.123456Z"),
        ("2019-12-04T10:01:22Z", "2019-12-04T10:01:22Z"),
        ("2019-12-04 10:01:22 UTC", "2019-12-04T10:01:22Z"),
        ("2019-12-04T10:01:22+08:00", "2019-12-04T02:01:22Z"),
        ("2019-12-04T10:01:22.5-0330", "2019-12-04T13:31:22.500000Z"),
        ("2019-12-04 10:01:22+08", "2019-12-04T02:01:22Z"),
    ],
)
def test_text_is_read(text, want):
  assert times([text]) == [want]


@pytest.mark.parametrize(
    "text",
    [
        "soon", "2019-02-30 10:00:00", "2019-12-04 25:00:00", "4.12.19",
        "2019-12-04 10:01:2", "2019-12-4 1:2:3", "2019-12-04 10:01:22 CET",
        "2019-12-045", "1 Foo 2019",
        "2019-12-04 10:61:00", "2019-12-04 10:01:22+0", "12/04/2019",
    ],  # fmt: skip
)
def test_other_text_is_not_guessed(text):
  found = read(["2019-12-04 10:01:22", "2019-12-04 10:01:23", text])
  assert found[2] == (None, quarantine.UNREADABLE_TIME)
  assert found[0] == ("2019-12-04T10:01:22Z", None)


@given(
    st.lists(_MOMENTS, min_size=1),
    st.sampled_from(["s", "ms", "us", "ns"]),
    st.booleans(),
)
def test_epoch_numbers_are_read_in_the_unit_of_their_size(
    moments, unit, as_text
):
  # Years with 1e9 seconds and more: 1990 is 6e8, still far from 1e11.
  parts = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[unit]
  whole = [
      moment.replace(microsecond=0, tzinfo=datetime.UTC) for moment in moments
  ]
  numbers = [int(moment.timestamp()) * parts for moment in whole]
  values = [str(n) for n in numbers] if as_text else numbers
  assert times(values) == [
      moment.isoformat().replace("+00:00", "Z") for moment in whole
  ]


def test_fractions_of_epoch_seconds_are_kept():
  want = ["2019-12-04T00:00:00.250000Z", "2019-12-04T00:00:01Z"]
  assert times(["1575417600.25", "1575417601"]) == want
  assert times([1575417600.25, 1575417601.0]) == want
  assert times(["1.57541760025e9", "1575417601"]) == want


def test_numbers_without_end_do_not_decide_the_unit():
  found = read([1717200000.0, float("inf"), float("nan")])
  assert found[0] == ("2024-06-01T00:00:00Z", None)
  assert found[1][0] is None and found[2][0] is None


def test_the_unit_can_be_forced():
  assert times(["999999999999"], unit="ms") == ["2001-09-09T01:46:39.999000Z"]
  assert read(["999999999999"], unit="s")[0][1] == quarantine.FUTURE_TIME


def test_times_out_of_range_are_rejected_with_their_reason():
  found = read(["1575417600", "-5", "100", "99999999999", "x", "", None])
  assert [why for _, why in found] == [
      None,
      quarantine.NEGATIVE_TIME,
      quarantine.EARLY_TIME,
      quarantine.FUTURE_TIME,
      quarantine.UNREADABLE_TIME,
      quarantine.NO_TIME,
      quarantine.NO_TIME,
  ]
  text = ["2019-12-04", "1969-12-31", "1989-12-31", "2025-01-03 00:00:01"]
  assert [why for _, why in read(text)] == [
      None,
      quarantine.NEGATIVE_TIME,
      quarantine.EARLY_TIME,
      quarantine.FUTURE_TIME,
  ]
  assert read(["2025-01-03 00:00:00"])[0][1] is None


@pytest.mark.parametrize("value", [2**62, 10**18, float("nan"), float("inf")])
def test_absurd_numbers_never_wrap_into_range(value):
  kind = pl.Float64 if isinstance(value, float) else pl.Int64
  usual = [1575417600, 1575417601, 1575417602]
  found = read([*usual, value], unit="s", dtype=kind)
  assert found[3][0] is None and found[3][1] is not None


@pytest.mark.slow
@given(st.lists(_MOMENTS, min_size=1))
def test_naive_datetimes_mean_the_same_as_their_text(moments):
  as_text = [moment.isoformat(" ") for moment in moments]
  assert times(moments, timezone="Asia/Shanghai") == times(
      as_text, timezone="Asia/Shanghai"
  )


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_parquet_datetimes_with_and_without_a_zone(unit):
  moment = datetime.datetime(2019, 12, 4, 10, 1, 22)
  naive = pl.Series([moment]).cast(pl.Datetime(unit))
  aware = naive.dt.replace_time_zone("Asia/Shanghai")
  assert times(naive) == ["2019-12-04T10:01:22Z"]
  assert times(naive, timezone="Asia/Shanghai") == ["2019-12-04T02:01:22Z"]
  assert times(aware) == ["2019-12-04T02:01:22Z"]


def test_dates_and_empty_columns():
  assert times([datetime.date(2019, 12, 4)]) == ["2019-12-04T00:00:00Z"]
  assert read([None], dtype=pl.Null) == [(None, quarantine.NO_TIME)]


def test_clock_changes_of_the_zone():
  found = read(
      ["2024-03-31 01:59:59", "2024-03-31 02:30:00", "2024-10-27 02:30:00"],
      timezone="Europe/Berlin",
  )
  assert found == [
      ("2024-03-31T00:59:59Z", None),
      (None, quarantine.SKIPPED_TIME),
      ("2024-10-27T00:30:00Z", None),  # The first of the two.
  ]


def test_mixed_times_are_refused_and_both_are_shown():
  times_read = reader()
  times_read.read(pl.Series(["2019-12-04 10:01:22"]), pl.Series([7]), "a.csv")
  with pytest.raises(UserError) as caught:
    times_read.read(
        pl.Series([None, "2019-12-04T10:01:22+08:00"]),
        pl.Series([2, 3]),
        "b.csv",
    )
  assert str(caught.value) == (
      "the log mixes times with and without an offset, and --timezone is not"
      " given: b.csv:3 has '2019-12-04T10:01:22+08:00', a.csv:7 has"
      " '2019-12-04 10:01:22'. Pass --timezone with the zone of the times that"
      " have none, for example --timezone UTC."
  )


def test_mixed_times_are_read_when_the_zone_is_given():
  found = times(
      ["2019-12-04 10:01:22", "2019-12-04T10:01:22+01:00"],
      timezone="Asia/Shanghai",
  )
  assert found == ["2019-12-04T02:01:22Z", "2019-12-04T09:01:22Z"]


def test_epoch_numbers_beside_either_kind_are_no_mixture():
  times_read = reader()
  for value in ("1575417600", "2019-12-04T10:01:22Z"):
    _, why = times_read.read(pl.Series([value]), pl.Series([1]), value[:4])
    assert why[0] is None


def test_the_report_says_how_times_were_read():
  times_read = reader("Asia/Shanghai")
  times_read.read(pl.Series(["1575417600000"]), pl.Series([1]), "n")
  times_read.read(pl.Series(["2019-12-04"]), pl.Series([1]), "t")
  assert times_read.kinds == {
      "n": "epoch numbers in ms (by their size)",
      "t": "without an offset, read as Asia/Shanghai",
  }


def test_a_column_of_another_type_is_refused():
  with pytest.raises(UserError, match="log: a column of type Boolean cannot"):
    read([True])


@pytest.mark.parametrize("zone", ["Mars/Base", "../etc/passwd", "+08:00"])
def test_an_unknown_zone_is_refused(zone):
  with pytest.raises(UserError, match=r"--timezone '.*' is unknown; use an"):
    reader(zone)


def test_an_unknown_unit_is_refused():
  with pytest.raises(UserError, match="--time_unit 'h' is unknown; use auto"):
    reader(unit="h")


@given(_MOMENTS, st.sampled_from(["UTC", "Asia/Shanghai", "America/New_York"]))
def test_a_moment_of_a_flag_is_local_time(moment, zone):
  want = moment.replace(tzinfo=zoneinfo.ZoneInfo(zone))
  found = timestamps.parse_moment(moment.isoformat(), zone, "--split_time")
  assert found == timestamps.to_microseconds(want)


def test_a_moment_that_is_none_is_refused():
  with pytest.raises(UserError) as caught:
    timestamps.parse_moment("Tuesday", "UTC", "--split_time")
  assert str(caught.value) == (
      "--split_time 'Tuesday' is not a time; write it as 2019-12-15 or"
      " 2019-12-15T06:00:00+08:00."
  )


def test_a_duration_is_a_place_in_a_log_without_times():
  found = reader()
  places = pl.Series([1_000_000, None]).cast(pl.Duration("us"))
  times, why = found.read(places, pl.Series([1, 2]), "log")
  assert times.to_list() == [1_000_000, None]
  assert why.to_list() == [None, quarantine.NO_TIME]
  assert found.kinds == {"log": timestamps.ORDINAL}


@pytest.mark.parametrize(
    ("texts", "want"),
    [
        (["20240601"], "2024-06-01T00:00:00Z"),
        (["20240601103059"], "2024-06-01T10:30:59Z"),
        (["202406011030"], "2024-06-01T10:30:00Z"),
        (["06/01/2024", "06/13/2024"], "2024-06-01T00:00:00Z"),
        (["6/1/2024 1:05 PM", "6/30/2024 2:00 AM"], "2024-06-01T13:05:00Z"),
        (["06/01/2024 12:00:00 AM", "06/30/2024"], "2024-06-01T00:00:00Z"),
        (["01/06/2024 10:00", "30/06/2024 10:00"], "2024-06-01T10:00:00Z"),
        (["01.06.2024 10:30:00"], "2024-06-01T10:30:00Z"),
        (["2024-06-01T10:30:00Z[UTC]"], "2024-06-01T10:30:00Z"),
        (["2024-06-01T10:30:00+02:00[Europe/Paris]"], "2024-06-01T08:30:00Z"),
        ([1717237800], "2024-06-01T10:30:00Z"),
        ([20240601], "2024-06-01T00:00:00Z"),
        ([20240601103059], "2024-06-01T10:30:59Z"),
        (["20240601103059123"], "2024-06-01T10:30:59.123000Z"),
        (["20240601T103059Z"], "2024-06-01T10:30:59Z"),
        (["20240601T1030+0200"], "2024-06-01T08:30:00Z"),
        (["20240601-103059"], "2024-06-01T10:30:59Z"),
        (["2024/6/1 9:30"], "2024-06-01T09:30:00Z"),
        (["2024-6-1"], "2024-06-01T00:00:00Z"),
        (["2024-06-01 10:30 UTC+08:00"], "2024-06-01T02:30:00Z"),
        (["[01/Jun/2024:10:30:00 +0200]"], "2024-06-01T08:30:00Z"),
        (["Sat, 1 Jun 2024 10:30:00 GMT"], "2024-06-01T10:30:00Z"),
        (["01-JUN-2024"], "2024-06-01T00:00:00Z"),
        (["June 1, 2024 12:30 AM"], "2024-06-01T00:30:00Z"),
    ],
)
def test_other_ways_to_write_a_time_that_mean_one_thing_are_read(texts, want):
  assert times(texts)[0] == want


@pytest.mark.parametrize(
    "texts",
    [
        ["06/01/2024", "06/02/2024"],  # Two orders are possible.
        ["13/01/2024", "01/13/2024"],  # And here both are used.
        ["06/13/2024 13:00 PM", "06/13/2024 13:00 PM"],
        ["06/13/24", "06/14/24"],
        ["1 Mai 2024", "1 Junk 2024"],
    ],
)
def test_a_date_that_may_mean_two_things_is_not_guessed(texts):
  assert [why for _, why in read(texts)] == [quarantine.UNREADABLE_TIME] * 2


def test_seconds_since_some_start_are_no_times():
  assert {why for _, why in read([1, 60, 120])} == {quarantine.EARLY_TIME}
