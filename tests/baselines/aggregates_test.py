"""Aggregates know no date, and say what their names say."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.baselines import aggregates

NOW = 1_700_000_000_000_000
SECOND, DAY = aggregates.SECOND, aggregates.DAY


def named(events, seconds, end=None):
  times = NOW + (np.asarray(seconds) * SECOND).astype(np.int64)
  end = int(times[-1]) + 1 if end is None else end
  found = aggregates.aggregates(np.asarray(events), times, end)
  return dict(zip(aggregates.NAMES, found.tolist(), strict=True))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10**6)), min_size=1),
    st.integers(-(10**15), 10**15),
)
def test_another_date_changes_nothing(rows, shift):
  rows.sort(key=lambda row: row[1])
  events = np.array([event for event, _ in rows])
  times = NOW + np.array([second for _, second in rows]) * SECOND
  one = aggregates.aggregates(events, times, int(times[-1]) + 1)
  two = aggregates.aggregates(
      events, times + shift, int(times[-1]) + shift + 1
  )
  assert one.shape == (len(aggregates.NAMES),)
  assert np.isfinite(one).all()
  np.testing.assert_array_equal(one, two)


def test_no_event_gives_zeros():
  found = aggregates.aggregates(np.array([], int), np.array([], int), NOW)
  np.testing.assert_array_equal(found, 0)
  np.testing.assert_array_equal(aggregates.hours(np.array([], int)), 0)


def test_a_script_is_periodic_and_a_person_is_not():
  rng = np.random.default_rng(0)
  script = named(np.tile([1, 2], 100), np.arange(200) * 5.0)
  person = named(
      rng.integers(0, 20, 200), np.cumsum(rng.exponential(5.0, 200))
  )
  assert script["entropy of gaps"] == 0
  assert script["most frequent gap"] == 1
  assert script["equal to the event 2 before"] == 1
  assert script["equal to the event 1 before"] == 0
  assert script["entropy of events"] == pytest.approx(1)
  for name in ("entropy of gaps", "entropy of events",
               "bytes per event when compressed"):
    assert person[name] > script[name] + 0.3


def test_sessions_are_cut_at_a_quarter_of_an_hour():
  found = named([1] * 5, [0, 10, 20, 20 + 15 * 60, 30 + 15 * 60])
  assert found["sessions"] == pytest.approx(np.log1p(2))
  assert found["longest session in events"] == pytest.approx(np.log1p(3))


def test_days_are_counted_back_from_the_time_of_the_row():
  day = DAY // SECOND
  end = NOW + 5 * DAY + SECOND
  found = named([1, 1, 1], [0, day, 5 * day], end)
  for back, count in ((1, 1), (2, 0), (5, 1), (6, 1)):
    assert found[f"events {back} days before"] == pytest.approx(
        np.log1p(count)
    ), back
  assert found["active days"] == pytest.approx(np.log1p(3))
  assert found["longest run of inactive days"] == 3
  later = named([1, 1, 1], [0, day, 5 * day], end + 2 * DAY)
  assert later["days since the last event"] == pytest.approx(2, abs=1e-3)


def test_hours_are_shares_of_the_day():
  times = (np.array([0, 1, 25]) * aggregates.HOUR).astype(np.int64)
  found = aggregates.hours(times)
  assert found[0] == pytest.approx(1 / 3)
  assert found[1] == pytest.approx(2 / 3)
  assert len(aggregates.HOUR_NAMES) == len(found)
