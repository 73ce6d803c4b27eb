"""Counts and gaps of users."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from scipy import sparse

from behavior_lm.baselines.counts import build_user_features
from behavior_lm.baselines.counts import NUM_GAP_FEATURES
from behavior_lm.baselines.counts import top_counts

COLUMNS = np.array([0, 0, 1, 2])


def sequence(user, pairs, seconds=None):
  seconds = range(len(pairs)) if seconds is None else seconds
  return {
      "user_id": user,
      "pair": np.array(pairs, np.int32),
      "timestamp": np.array([s * 10**6 for s in seconds], np.int64),
  }


SEQUENCES = st.lists(
    st.builds(
        sequence,
        st.sampled_from("abc"),
        st.lists(st.integers(0, 3), max_size=8),
    ),
    max_size=6,
)


@given(SEQUENCES.filter(lambda rows: any(len(r["pair"]) for r in rows)))
def test_counts_are_those_of_all_sequences_of_a_user(rows):
  got = build_user_features(rows, COLUMNS)
  events = {}
  for row in rows:
    events.setdefault(row["user_id"], []).extend(COLUMNS[row["pair"]])
  assert got.users == sorted(user for user in events if events[user])
  for i, user in enumerate(got.users):
    want = np.bincount(events[user], minlength=3)
    np.testing.assert_array_equal(got.counts[[i]].toarray()[0], want)
    assert got.num_events[i] == len(events[user])


def test_gaps_stay_inside_a_sequence_and_ignore_the_date():
  days = [sequence("a", [0, 1, 2], [0, 1, 3]), sequence("a", [0, 1], [90, 91])]
  later = [
      sequence("a", [0, 1, 2], [5_000, 5_001, 5_003]),
      sequence("a", [0, 1], [7_000, 7_001]),
  ]
  one, two = (build_user_features(rows, COLUMNS) for rows in (days, later))
  np.testing.assert_allclose(one.gaps, two.gaps, rtol=1e-6)
  logs = np.log1p([1, 2, 1])
  assert one.gaps[0, 4] == pytest.approx(np.median(logs))
  np.testing.assert_allclose(
      one.gaps[0, -3:], [logs.mean(), logs.std(), 0], rtol=1e-6
  )


def test_ties_and_single_events_have_features_too():
  rows = [sequence("a", [1]), sequence("b", [1, 1, 1], [4, 4, 5])]
  got = build_user_features(rows, COLUMNS)
  assert got.gaps.shape == (2, NUM_GAP_FEATURES)
  assert (got.gaps[0] == 0).all()
  assert got.gaps[1, -1] == 0.5
  assert np.isfinite(got.gaps).all()


def test_rows_can_be_taken_in_another_order():
  rows = [sequence("a", [0]), sequence("b", [2, 2]), sequence("c", [3])]
  got = build_user_features(rows, COLUMNS).take(np.array([2, 1]))
  assert got.users == ["c", "b"]
  assert got.num_events.tolist() == [1, 2]
  np.testing.assert_array_equal(got.counts.toarray(), [[0, 0, 1], [0, 2, 0]])


def test_no_events_are_no_features():
  with pytest.raises(ValueError, match="no sequence has an event"):
    build_user_features([sequence("a", [])], COLUMNS)


def test_columns_are_chosen_by_the_training_rows_alone():
  table = [[5, 1, 0, 0], [4, 0, 2, 0], [0, 0, 0, 9]]
  counts = sparse.csr_array(np.array(table))
  got = top_counts(counts, np.array([0, 1]), max_columns=2).toarray()
  # Event 3 is the most frequent one, but not in training rows.
  np.testing.assert_allclose(got, np.log1p([[5, 0], [4, 2], [0, 0]]))
  every = top_counts(counts, np.array([0, 1])).toarray()
  np.testing.assert_allclose(every, np.log1p(counts.toarray()[:, :3]))
