import datetime
import math
import zoneinfo

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data import time_features
from behavior_lm.data.time_features import event_features
from behavior_lm.data.time_features import to_tokens

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# Half-hour offsets, a summer time of half an hour, a day that never was.
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Shanghai",
    "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia",
]
MOMENTS = st.one_of(
    st.integers(-(10**15), 4 * 10**15),
    # Within a day of a change of the clocks in Europe and America.
    st.integers(-(10**11), 10**11).map(lambda us: 1_585_443_600_000_000 + us),
    st.integers(-(10**11), 10**11).map(lambda us: 1_604_210_400_000_000 + us),
)
TIMES = st.lists(MOMENTS, max_size=12).map(
    lambda values: np.sort(np.array(values, np.int64))
)
FLOATS = st.one_of(st.floats(-1e6, 1e6, width=32), st.just(math.nan))


@st.composite
def spans(draw):
  """A sequence, its extra column, and tokens over it, some without events."""
  num_events = draw(st.lists(st.integers(0, 5), max_size=8))
  total = sum(num_events)
  gaps = draw(
      st.lists(
          st.sampled_from([0, 1, 99_999, 100_000, 1_234_567, 10**10, 10**13]),
          min_size=total,
          max_size=total,
      )
  )
  level = draw(st.lists(FLOATS, min_size=total, max_size=total))
  times = 1_585_000_000_000_000 + np.cumsum(np.array(gaps, np.int64))
  return times, np.array(level, np.float32), np.array(num_events, np.int32)


def slow_features(times, zone, first_event, level):
  """One plain Python dict an event."""
  rows = []
  for place, time in enumerate(times):
    unit = lambda at: int(times[at]) // 100_000
    before = unit(place) - unit(place - 1) if place else -1
    last = place + 1 == len(times)
    after = -1 if last else unit(place + 1) - unit(place)
    local = (EPOCH + datetime.timedelta(microseconds=time)).astimezone(
        zoneinfo.ZoneInfo(zone)
    )
    previous, following = min(before, 2**31 - 1), min(after, 2**31 - 1)
    rows.append({
        "gap_previous": previous,
        "gap_next": following,
        "hour": local.hour,
        "weekday": local.weekday(),
        "weekend": int(local.weekday() in (5, 6)),
        "account_age": (time - first_event) // 3_600_000_000 / 24,
        "num_events": 1,
        "level": level[place],
    })
  return rows


def slow_tokens(rows, num_events):
  out, place = [], 0
  for size in num_events:
    span = rows[place : place + size]
    place += size
    if not span:
      out.append({
          "gap_previous": -1, "gap_next": -1, "hour": -1, "weekday": -1,
          "weekend": -1, "account_age": math.nan, "num_events": 0,
          "level": math.nan,
      })
      continue
    token = {name: span[0][name] for name in time_features.CALENDAR}
    token["account_age"] = span[0]["account_age"]
    token["num_events"] = size
    for kind in ("previous", "next"):
      gaps = [row[f"gap_{kind}"] for row in span if row[f"gap_{kind}"] >= 0]
      token[f"gap_{kind}"] = min(sum(gaps), 2**31 - 1) if gaps else -1
    known = [row["level"] for row in span if not math.isnan(row["level"])]
    token["level"] = sum(known) / len(known) if known else math.nan
    out.append(token)
  return out


def check(features, rows, names):
  assert list(features) == names
  for name in names:
    want = np.array([row[name] for row in rows], np.float64)
    got = features[name]
    whole = (*time_features.GAPS, *time_features.CALENDAR, "num_events")
    exact = name in whole
    assert got.dtype == (np.int32 if exact else np.float32)
    if exact:
      np.testing.assert_array_equal(got, want, err_msg=name)
    else:
      # Extras are summed in float64; their mean may cancel.
      np.testing.assert_allclose(
          got, want, rtol=1e-5, atol=1e-3, err_msg=name
      )


@given(TIMES, st.sampled_from(ZONES))
def test_hour_and_weekday_are_those_of_the_zones_clock(times, zone):
  hour, weekday = time_features.calendar(times, zone)
  for time, got_hour, got_day in zip(
      times.tolist(), hour, weekday, strict=True
  ):
    local = (EPOCH + datetime.timedelta(microseconds=time)).astimezone(
        zoneinfo.ZoneInfo(zone)
    )
    assert (got_hour, got_day) == (local.hour, local.weekday())


def test_the_hour_that_summer_time_skips_is_never_read():
  # Berlin, 29 March 2020: after 01:59 comes 03:00.
  minute = np.arange(-60, 60) * 60_000_000 + 1_585_443_600_000_000
  hour, weekday = time_features.calendar(minute, "Europe/Berlin")
  assert hour.tolist() == [1] * 60 + [3] * 60
  assert set(weekday.tolist()) == {6}


@given(spans(), st.sampled_from(ZONES), st.integers(0, 10**15))
def test_features_of_events_and_tokens_are_the_plain_loops(
    data, zone, before
):
  times, level, num_events = data
  first = int(times[0]) - before if len(times) else 0
  names = [*time_features.NAMES, "level"]
  events = event_features(
      times, zone=zone, first_event=first, extras={"level": level}
  )
  rows = slow_features(times.tolist(), zone, first, level.tolist())
  check(events, rows, names)
  tokens = to_tokens(events, num_events)
  check(tokens, slow_tokens(rows, num_events.tolist()), names)


@given(spans())
def test_tokens_of_one_event_are_the_events(data):
  times, level, _ = data
  events = event_features(times, first_event=0, extras={"level": level})
  tokens = to_tokens(events, np.ones(len(times), np.int32))
  for name, values in events.items():
    np.testing.assert_array_equal(tokens[name], values, err_msg=name)


@given(spans(), st.integers(1, 4))
def test_coarser_tokens_of_tokens_are_coarser_tokens_of_events(data, size):
  times, _, num_events = data
  num_events = num_events[num_events > 0]
  events = event_features(
      times, ["gap_previous", "gap_next", "hour", "weekday"]
  )
  groups = [
      num_events[place : place + size]
      for place in range(0, len(num_events), size)
  ]
  counts = np.array([len(group) for group in groups], int)
  joined = np.array([group.sum() for group in groups], int)
  twice = to_tokens(to_tokens(events, num_events), counts)
  for name, values in to_tokens(events, joined).items():
    np.testing.assert_array_equal(twice[name], values)


def test_a_token_of_days_is_capped_not_wrapped():
  year = 31_557_600_000_000
  times = np.arange(20, dtype=np.int64) * year * 10
  tokens = to_tokens(event_features(times, ["gap_next"]), np.array([20]))
  assert tokens["gap_next"].tolist() == [2**31 - 1]


def test_a_subset_keeps_its_names_and_order():
  times = np.array([0, 10_000_000])
  names = ["hour", "gap_previous"]
  assert list(event_features(times, names)) == names


def test_the_age_of_an_account_hides_gaps_within_an_hour():
  times = np.array([0, 5, 59, 60, 200]) * 60_000_000
  age = event_features(times, ["account_age"], first_event=0)["account_age"]
  np.testing.assert_allclose(age * 24, [0, 0, 0, 1, 3], rtol=1e-6)


def test_a_million_events_take_one_pass():
  size = 1_000_000
  times = np.arange(size, dtype=np.int64) * 700_000
  events = event_features(times, ["gap_next", "hour"], zone="Asia/Shanghai")
  tokens = to_tokens(events, np.full(size // 8, 8))
  assert (tokens["gap_next"][:-1] == 56).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(names=["minute"]), "'minute' is unknown; choose"),
        (dict(names=["hour", "hour"]), "'hour' is named twice"),
        (dict(names=["account_age"]), "needs the time of the user's first"),
        (dict(names=["account_age"], first_event=1), "before the user's first"),
        (dict(names=["hour"], zone="Mars/Base"), "'Mars/Base' is unknown"),
        (dict(extras={"level": np.zeros(3)}, names=[]), "3 values for 2"),
    ],
)
def test_wrong_use_is_an_error(arguments, message):
  with pytest.raises(UserError, match=message):
    event_features(np.array([0, 10]), **arguments)


def test_features_but_those_that_look_ahead_are_not_changed_by_later_events():
  times = np.array([0, 5, 9]) * 1_000_000
  whole = event_features(times, time_features.NAMES, first_event=0)
  part = event_features(times[:2], time_features.NAMES, first_event=0)
  changed = {
      name
      for name in time_features.NAMES
      if whole[name][:2].tolist() != part[name].tolist()
  }
  assert changed == set(time_features.LOOK_AHEAD)


@pytest.mark.parametrize("num_events", [[1], [2, 1], [3, -1], []])
def test_tokens_that_do_not_span_the_events_are_an_error(num_events):
  events = event_features(np.array([0, 10]), ["hour"])
  with pytest.raises(UserError, match="encode the sequence again"):
    to_tokens(events, np.array(num_events, np.int64))
