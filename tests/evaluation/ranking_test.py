import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.evaluation import ranking
from behavior_lm.evaluation.ranking import Ranking


@given(st.data())
def test_ranks_and_lists_are_those_of_a_whole_sort(data):
  num_items = data.draw(st.integers(1, 9))
  k = data.draw(st.integers(1, 11))
  scores = np.array(
      data.draw(
          st.lists(
              st.lists(
                  st.sampled_from([-1.0, 0.0, 0.5, 2.0]),
                  min_size=num_items,
                  max_size=num_items,
              ),
              min_size=1,
              max_size=4,
          )
      ),
      np.float32,
  )
  items = st.integers(0, num_items - 1)
  size = len(scores)
  targets = np.array(
      data.draw(st.lists(items | st.just(-1), min_size=size, max_size=size))
  )
  dropped = [
      np.array(data.draw(st.lists(items, max_size=4)), int) for _ in scores
  ]
  ranks, top = ranking.rank_items(scores, targets, dropped, k)
  for row in range(size):
    left = [i for i in range(num_items) if i not in dropped[row]]
    order = sorted(left, key=lambda i: (-scores[row, i], i))
    assert top[row].tolist() == (order + [-1] * k)[:k]
    target = targets[row]
    assert ranks[row] == (order.index(target) + 1 if target in order else 0)


def example():
  return Ranking(
      users=np.array(["a", "b", "c", "d"]),
      ranks=np.array([1, 3, 0, 4]),
      top=np.array([[0, 1, 2], [0, 1, 3], [0, 2, 1], [0, 1, 2]]),
      counts=np.array([4, 2, 1, 1, 0]),
      history=np.array([9, 7, 0, 20]),
      k=3,
  )


def test_figures_of_a_small_example():
  found = example().summary()
  assert found["hr@3"] == 2 / 4
  assert found["ndcg@3"] == pytest.approx((1 + 1 / math.log2(4)) / 4)
  assert found["mrr@3"] == pytest.approx((1 + 1 / 3) / 4)
  assert found["coverage@3"] == 4 / 5
  assert found["popularity@3"] == pytest.approx((4 * 4 + 2 * 4 + 4 * 1) / 12)
  assert found["novelty@3"] == pytest.approx((4 * 1 + 4 * 2 + 4 * 3) / 12)
  assert found["hr@3_cold"] == 0
  assert found["hr@3_head"] == 0
  assert found["hr@3_tail"] == 1
  sums, weights = example().ratios["hr@3"]
  assert sums.sum() / weights.sum() == found["hr@3"]


def test_equal_scores_gain_nothing():
  targets = np.arange(100)
  ranks, _ = ranking.rank_items(
      np.zeros((100, 100)), targets, [targets[:0]] * 100, 10
  )
  assert (ranks <= 10).mean() == 0.1


def test_nan_is_refused():
  with pytest.raises(ValueError, match="NaN"):
    ranking.rank_items(np.full((1, 2), np.nan), np.array([0]), [[]], 1)


def test_negatives_are_unseen_and_as_many_as_asked_for():
  seen = [np.array([0, 1]), np.arange(9)]
  found = ranking.draw_negatives(np.array([2, 9]), seen, 10, 5, seed=0)
  assert len(set(found[0].tolist())) == 5
  assert not set(found[0].tolist()) & {0, 1, 2}
  assert found[1].size == 0
