import numpy as np

from behavior_lm.baselines.item_counts import markov
from behavior_lm.baselines.item_counts import Neighbours
from behavior_lm.baselines.item_counts import Popularity
from behavior_lm.data.items.histories import Histories


def histories(*users):
  """Items of users; -1 is an unknown one."""
  tokens = np.concatenate([np.array(u) for u in users]) + 5
  tokens = np.where(tokens == 4, 2, tokens).astype(np.int32)
  sizes = [len(u) for u in users]
  return Histories(
      [str(i) for i in range(len(users))],
      np.concatenate([[0], np.cumsum(sizes)]),
      tokens,
      np.arange(len(tokens)),
      {},
  )


def test_popularity_counts_training_alone():
  model = Popularity(histories([0, 1, 1], [-1, 1]), 3)
  assert model.scores([np.array([0])]).tolist() == [[1, 3, 0]]


def test_what_followed_the_last_item_comes_first():
  # 0 -> 1 twice, 0 -> 2 once; nothing crosses users or unknown items.
  train = histories([0, 1], [0, 1], [0, 2], [2, -1, 0], [2])
  scores = markov(train, 3).scores([np.array([2, 0])])[0]
  assert np.argsort(-scores)[:2].tolist() == [1, 2]
  np.testing.assert_allclose(
      scores, np.array([0, 2, 1]) / (4 + 10) + 1e-5 * np.array([4, 2, 3]) / 9
  )


def test_neighbours_look_both_ways_and_further():
  train = histories([0, 1, 2])
  model = Neighbours(train, 3, reach=2, both=True, last=2, smoothing=0)
  near = model.scores([np.array([2])])[0]
  assert near[1] > near[0] > near[2]


def test_a_user_without_history_gets_the_most_frequent():
  model = markov(histories([0, 1], [1, 1]), 2)
  assert model.scores([np.zeros(0, int)])[0].argmax() == 1
