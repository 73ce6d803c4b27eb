from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.time_gaps import time_gaps

TIMES = st.lists(st.integers(0, 10**13), min_size=1, max_size=50).map(
    lambda values: np.sort(np.asarray(values, np.int64))
)


def test_next_gap_is_the_duration_and_that_of_the_last_is_hidden():
  times = np.asarray([0, 0, 1_500_000, 1_599_999])
  assert time_gaps(times, "next").tolist() == [0, 15, 0, -1]


def test_previous_gap_is_the_time_since_and_that_of_the_first_is_hidden():
  times = np.asarray([0, 0, 1_500_000, 1_600_000])
  assert time_gaps(times, "previous").tolist() == [-1, 0, 15, 1]


@given(TIMES)
def test_previous_is_next_moved_by_one(times):
  after, before = time_gaps(times, "next"), time_gaps(times, "previous")
  np.testing.assert_array_equal(after[:-1], before[1:])
  assert after[-1] == before[0] == -1


def test_a_gap_of_centuries_is_capped_not_wrapped():
  gaps = time_gaps(np.asarray([0, 2**62]))
  assert gaps.tolist() == [2**31 - 1, -1]


def test_times_that_go_backwards_are_an_error_with_the_position():
  with pytest.raises(UserError, match="backwards at position 2"):
    time_gaps(np.asarray([0, 5, 4]))


def test_an_unknown_kind_is_an_error():
  with pytest.raises(UserError, match="'both'"):
    time_gaps(np.asarray([0, 5]), "both")


def test_an_empty_sequence_has_no_gaps():
  assert time_gaps(np.asarray([], np.int64)).shape == (0,)


@given(TIMES)
def test_gaps_shorter_than_a_unit_add_up(times):
  total = time_gaps(times)[:-1].astype(np.int64).sum()
  if times[-1] - times[0] < 2**31 * 100_000:
    assert total == times[-1] // 100_000 - times[0] // 100_000
