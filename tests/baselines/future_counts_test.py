import numpy as np
import pytest

from behavior_lm.baselines.future_counts import count_tokens
from behavior_lm.baselines.future_counts import FutureCounts
from behavior_lm.baselines.future_counts import PRIOR_EVENTS
from behavior_lm.baselines.future_counts import score

IS_EVENT = np.array([False, True, True, True])


def test_popularity_is_the_share_in_training_and_never_0_for_an_event():
  sequences = [np.array([1, 1, 2]), np.array([0, 1])]
  counts = FutureCounts(count_tokens(sequences, 4), IS_EVENT)
  np.testing.assert_allclose(counts.popular(), np.array([0, 4, 2, 1]) / 7)


def test_own_events_outweigh_popularity_as_they_become_many():
  counts = FutureCounts(np.array([0, 3, 1, 0]), IS_EVENT)
  np.testing.assert_allclose(
      counts.own(np.zeros(0, np.int64)), counts.popular()
  )
  many = counts.own(np.full(1000, 3))
  assert many[3] > 0.98 and many.sum() == pytest.approx(1)
  want = (5 + PRIOR_EVENTS * counts.popular()[2]) / (5 + PRIOR_EVENTS)
  assert counts.own(np.full(5, 2))[2] == pytest.approx(want)


def test_a_future_is_scored_by_its_events_and_the_best_ones_named():
  shares = np.array([0.0, 0.5, 0.3, 0.2])
  nats, named = score(shares, np.array([1, 1, 2, 3]), 2)
  assert nats == pytest.approx(-np.log([0.5, 0.5, 0.3, 0.2]).mean())
  assert named == 0.75
  # More are named than there are tokens.
  assert score(shares, np.array([3]), 9)[1] == 1
