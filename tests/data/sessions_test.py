from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data import sessions
from behavior_lm.data.sessions import SessionRule

GAPS = st.lists(st.sampled_from([0, 1, 2, 5, 10**6, 10**7, 10**10]))
TIMES = st.lists(
    st.one_of(st.integers(0, 50), st.integers(0, 10**13)), max_size=40
).map(lambda values: np.sort(np.array(values, np.int64)))


def slow_starts(times, threshold):
  starts, last = [], None
  for time in times.tolist():
    starts.append(last is None or time - last > threshold)
    last = time
  return starts


@given(TIMES, st.integers(0, 10**12))
def test_a_session_starts_after_each_longer_gap(times, threshold):
  starts = sessions.session_starts(times, threshold)
  assert starts.dtype == bool
  assert starts.tolist() == slow_starts(times, threshold)


def test_a_gap_as_long_as_the_threshold_ends_no_session():
  times = np.array([0, 10, 21])
  assert sessions.session_starts(times, 10).tolist() == [True, False, True]


@given(TIMES, st.integers(0, 10**12))
def test_ids_count_the_sessions_from_zero(times, threshold):
  starts = sessions.session_starts(times, threshold)
  ids = sessions.session_ids(starts)
  assert ids.dtype == np.int32
  assert ids.tolist() == [
      sum(starts[: place + 1]) - 1 for place in range(len(times))
  ]


def test_times_that_go_backwards_are_an_error_with_the_position():
  with pytest.raises(UserError, match="backwards at position 2"):
    sessions.session_starts(np.array([0, 5, 4]), 1)
  with pytest.raises(UserError, match="negative"):
    sessions.session_starts(np.array([0, 5]), -1)


@given(GAPS, st.floats(0.01, 0.99))
def test_a_users_quantile_bounds_the_share_of_longer_gaps(gaps, quantile):
  threshold = sessions.user_quantile_threshold(
      np.array(gaps, np.int64), quantile
  )
  positive = [gap for gap in gaps if gap]
  if not positive:
    assert threshold == sessions.NEVER
    return
  assert threshold in positive
  longer = sum(gap > threshold for gap in positive)
  assert longer <= (1 - quantile) * len(positive) + 1e-9
  # And it is the smallest gap with that property, up to one place.
  assert sum(gap >= threshold for gap in positive) >= (1 - quantile) * (
      len(positive) - 1
  )


def test_ties_do_not_move_a_users_quantile():
  gaps = np.array([1, 2, 3, 4, 5])
  with_ties = np.concatenate([gaps, np.zeros(100, np.int64)])
  for quantile in (0.2, 0.5, 0.9):
    assert sessions.user_quantile_threshold(
        gaps, quantile
    ) == sessions.user_quantile_threshold(with_ties, quantile)


RULES = st.one_of(
    st.just(SessionRule()),
    st.builds(
        SessionRule,
        st.sampled_from(["fixed", "learned"]),
        seconds=st.floats(1e-6, 1e6),
    ),
    st.builds(
        SessionRule, st.just("user_quantile"), quantile=st.floats(0.01, 0.99)
    ),
)


@given(RULES, TIMES)
def test_a_rule_is_its_threshold_and_survives_json(rule, times):
  want = slow_starts(times, rule.threshold(times))
  assert rule.starts(times).tolist() == want
  again = SessionRule.from_json(rule.to_json())
  assert again == rule
  assert again.starts(times).tolist() == want


def test_rules_by_hand():
  times = np.array([0, 1, 1, 3, 100]) * 1_000_000
  assert SessionRule().starts(times).tolist() == [1, 0, 0, 0, 0]
  fixed = SessionRule("fixed", seconds=1.5)
  assert fixed.starts(times).tolist() == [1, 0, 0, 1, 1]
  # Gaps above 0: 1, 2, 97 s; the middle one is the threshold.
  half = SessionRule("user_quantile", quantile=0.5)
  assert half.starts(times).tolist() == [1, 0, 0, 0, 1]


def test_only_a_rule_by_all_gaps_of_the_user_looks_ahead():
  times = np.array([0, 5, 6, 106]) * 1_000_000
  for rule in (SessionRule(), SessionRule("fixed", seconds=3)):
    assert not rule.looks_ahead
    part = rule.starts(times[:3])
    assert part.tolist() == rule.starts(times)[:3].tolist()
  rule = SessionRule("user_quantile", quantile=0.4)
  assert rule.looks_ahead
  times[3] = times[2] + 1_000_000
  assert rule.starts(times)[1] != rule.starts(times[:2])[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(kind="weekly"), "'weekly'; choose one of"),
        (dict(kind="fixed"), "needs `seconds`"),
        (dict(kind="learned"), "needs `seconds`"),
        (dict(kind="none", seconds=1), "takes no `seconds`"),
        (dict(kind="fixed", seconds=0), "above 0"),
        (dict(kind="fixed", seconds=float("inf")), "finite"),
        (dict(kind="fixed", seconds=float("nan")), "finite"),
        (dict(kind="fixed", seconds=1, quantile=0.5), "takes no `quantile`"),
        (dict(kind="user_quantile"), "needs `quantile`"),
        (dict(kind="user_quantile", quantile=1.0), "between 0 and 1"),
        (dict(kind="fixed", seconds="long"), "not a session rule"),
        (dict(kind="fixed", minutes=1), "not a session rule"),
    ],
)
def test_a_wrong_rule_is_an_error(arguments, message):
  with pytest.raises(UserError, match=message):
    SessionRule.from_json(arguments)
