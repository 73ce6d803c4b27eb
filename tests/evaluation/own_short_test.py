import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.evaluation.own_short import OwnShort
from tests.shop import shop_subject


@pytest.fixture(scope="module")
def subject(shop_path):
  return shop_subject(shop_path)


def test_the_rank_counts_the_others_that_score_higher(subject):
  measure = OwnShort(subject, split="train", others=10)
  number = len(measure.rows.users)
  assert number > 20
  best = measure.rank(lambda a, b: (a[:, None] == b).astype(float))
  assert (best.ranks == 1).all()
  assert best.summary() == {"hr@1": 1.0, "mrr": 1.0, "hr@10": 1.0}
  worst = measure.rank(lambda a, b: (a[:, None] != b).astype(float))
  assert (worst.ranks == 11).all()
  # The places of users as scores: as many others are higher.
  ordered = measure.rank(lambda a, b: np.tile(b, (len(a), 1)))
  for user in range(number):
    others = measure._candidates[user][1:]
    assert user not in others and len(set(others)) == 10
    assert ordered.ranks[user] == 1 + (others > user).sum()


def test_a_model_that_scores_all_alike_gains_nothing(subject):
  measure = OwnShort(subject, split="train", others=10)
  flat = measure.rank(lambda a, b: np.zeros((len(a), len(b))))
  assert 3 < flat.ranks.mean() < 9


def test_counts_find_the_taste_of_a_shop_and_popularity_does_not(subject):
  measure = OwnShort(subject, split="train", others=10)
  found, unfair = measure.baselines()
  assert unfair == {"begins when the long one ends"}
  value = lambda name: found[name].summary()["mrr"]
  assert value("category histogram") > 1.5 * value("popularity")
  assert set(found) == {
      *("item histogram", "category histogram", "action histogram"),
      *("popularity", *unfair),
  }


def test_a_split_that_is_not_there_is_an_error(subject):
  with pytest.raises(UserError, match="no split 'test'"):
    OwnShort(subject, split="test")
