"""Markov chains: history strictly before, smoothing by hand, no test counts."""

import numpy as np
import pytest

from behavior_lm.baselines import markov
from behavior_lm.baselines.markov import Chain


def test_history_is_strictly_before_and_of_the_same_user():
  users = np.array([0, 0, 0, 0, 1, 1])
  times = np.array([1, 2, 2, 3, 1, 5])
  labels = np.array([7, 8, 9, 6, 5, 4])
  found = markov.previous_labels(users, times, labels, 2)
  # The two rows at time 2 see time 1 alone, and time 3 sees the later of them.
  np.testing.assert_array_equal(
      found, [[-1, -1], [7, -1], [7, -1], [9, 8], [-1, -1], [5, -1]]
  )


@pytest.mark.parametrize(
    "users, times, message",
    [([0, 1, 0], [1, 2, 3], "stand together"), ([0, 0, 0], [1, 3, 2], "time")],
)
def test_rows_out_of_order_are_refused(users, times, message):
  with pytest.raises(ValueError, match=message):
    markov.previous_labels(np.array(users), np.array(times), np.arange(3), 1)


def test_probabilities_are_those_of_witten_and_bell():
  # After 0 came 1 twice and 2 once; the last row is tested.
  labels = np.array([1, 1, 2, 1])
  columns = {0: np.array([0, 0, 0, 0])}
  train, test = np.arange(3), np.array([3])
  found = markov.chain_probabilities(
      Chain(((), (0,))), columns, labels, train, test, 3
  )
  popularity = (np.array([0, 2, 1]) + 2 * np.ones(3) / 3) / (3 + 2)
  expected = (np.array([0, 2, 1]) + 2 * popularity) / (3 + 2)
  np.testing.assert_allclose(found[0], expected, rtol=1e-6)


def test_an_unseen_context_backs_off_and_rows_sum_to_one():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 5, 60)
  columns = {0: rng.integers(0, 4, 60), markov.USER: np.arange(60)}
  train, test = np.arange(40), np.arange(40, 60)
  low = markov.chain_probabilities(
      Chain(((), (0,))), columns, labels, train, test, 5
  )
  # No tested user has a training row.
  high = markov.chain_probabilities(
      Chain(((), (0,), (markov.USER, 0))), columns, labels, train, test, 5
  )
  np.testing.assert_array_equal(low, high)
  np.testing.assert_allclose(low.sum(axis=1), 1, rtol=1e-5)


def test_tested_labels_are_not_counted():
  rng = np.random.default_rng(1)
  labels = rng.integers(0, 5, 60)
  columns = {
      name: rng.integers(0, 4, 60)
      for name in (0, 1, 2, markov.USER, markov.EVENT)
  }
  train, test = np.arange(40), np.arange(40, 60)
  other = labels.copy()
  other[test] = 4 - other[test]
  for chain in markov.CHAINS.values():
    one, two = (
        markov.chain_probabilities(chain, columns, some, train, test, 5)
        for some in (labels, other)
    )
    np.testing.assert_array_equal(one, two)


def test_a_second_order_chain_is_learned_by_order_two_alone():
  # The label is the one two before, plus one.
  labels = [0, 1]
  rng = np.random.default_rng(2)
  for _ in range(600):
    labels.append((labels[-2] + int(rng.random() < 0.8)) % 4)
  labels = np.array(labels)
  users, times = np.zeros(602, int), np.arange(602)
  before = markov.previous_labels(users, times, labels, 3)
  columns = dict(enumerate(before.T))
  train, test = np.arange(400), np.arange(400, 602)
  accuracy = {}
  for name in ("popularity", "Markov-1", "Markov-2"):
    found = markov.chain_probabilities(
        markov.CHAINS[name], columns, labels, train, test, 4
    )
    accuracy[name] = np.mean(found.argmax(axis=1) == labels[test])
  assert accuracy["Markov-2"] > 0.7
  assert accuracy["Markov-2"] > accuracy["Markov-1"] + 0.2
