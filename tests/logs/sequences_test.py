import datetime

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.logs import sequences

_HOUR_US = 3_600_000_000
_EVENTS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 2)),
    max_size=40,
).map(lambda rows: sorted(rows, key=lambda row: row[:2]))


@given(_EVENTS)
def test_duplicates_are_equal_to_an_earlier_event_of_the_same_time(rows):
  users, times, pairs = np.array(rows, np.int64).reshape(-1, 3).T
  found = sequences.find_duplicates(users, times, pairs)
  seen: set = set()
  want = [row in seen or seen.add(row) is not None for row in rows]
  assert found.tolist() == want


def test_ties_of_different_pairs_are_no_duplicates():
  zeros = np.zeros(4, np.int64)
  found = sequences.find_duplicates(zeros, zeros, np.array([2, 0, 1, 0]))
  assert found.tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("zone", "hours", "days"),
    [
        ("UTC", [0, 23.9, 24, -0.1], [0, 0, 1, -1]),
        ("Asia/Shanghai", [0, 15.9, 16], [0, 0, 1]),
        ("America/New_York", [4.9, 5.1], [-1, 0]),
    ],
)
def test_days_are_of_the_zone(zone, hours, days):
  time = (np.array(hours) * _HOUR_US).astype(np.int64)
  assert sequences.local_days(time, zone).tolist() == days


def test_a_day_of_23_hours_ends_where_the_calendar_says():
  zone = datetime.timezone(datetime.timedelta(hours=1))
  start = datetime.datetime(2024, 3, 31, tzinfo=zone)
  begin = int(start.timestamp()) * 1_000_000
  time = begin + np.array([0, 22, 23]) * _HOUR_US
  days = sequences.local_days(time, "Europe/Berlin")
  assert (days - days[0]).tolist() == [0, 0, 1]


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 80)
)
def test_shards_are_runs_of_whole_sequences(lengths, limit):
  rows = pl.DataFrame({"num_events": lengths, "index": range(len(lengths))})
  shards = sequences.split_shards(rows, limit)
  assert pl.concat(shards)["index"].to_list() == list(range(len(lengths)))
  sizes = [shard["num_events"].to_list() for shard in shards]
  # A shard may be too large by less than its last sequence.
  assert all(sum(size[:-1]) <= limit for size in sizes)
  assert len(shards) <= (sum(lengths) - 1) // limit + 1
