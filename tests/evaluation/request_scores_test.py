"""The diversity of lists by a column of categories, from encoded rows."""

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.features.actions import Actions
from behavior_lm.data.features.requests import RequestRows
from behavior_lm.evaluation.request_scores import RequestScores
from behavior_lm.evaluation.request_scores import RequestSubject

DAY = 86_400_000_000
# Items 1 to 4 are of the categories 11, 11, 12, 12.
ITEMS = np.array([1, 2, 3, 4])
CATEGORIES = np.array([11, 11, 12, 12])


def subject(times: list[int], **changes) -> RequestSubject:
  """One request at two days for each of `times`, when item 1 was acted on."""
  n = len(times)
  actions = Actions(
      users={str(u): u for u in range(n)},
      offsets=np.arange(n + 1),
      times=np.array(times),
      types=np.full(n, 9),
      items=np.full(n, 1),
      seen=np.zeros((n + 1, 2), np.int32),
  )
  users = np.repeat(np.arange(n), 4)
  rows = RequestRows(
      arrays={
          "ids": np.tile(np.stack([CATEGORIES, ITEMS], 1), (n, 1)),
          "bag/tags": np.tile(np.stack([CATEGORIES + 9, ITEMS], 1), (n, 1)),
          "labels": np.tile([[0.0], [1.0], [0.0], [0.0]], (n, 1)),
      },
      users=users,
      requests=users,
      times=np.full(4 * n, 2 * DAY),
      numbers=users,
      actions=actions,
      num_actions=2,
  )
  return RequestSubject(
      heads=("click",),
      sides={"test": rows},
      batch_size=3,
      names=(),
      graphdef=None,
      mesh=None,
      columns=("category", "item"),
      candidate="item",
      **changes,
  )


@pytest.mark.parametrize("category", ["category", "tags"])
def test_lists_are_measured_by_the_category_of_candidates(category):
  evaluator = RequestScores(
      subject([2 * DAY - 5, 1]), split="test", k=2, category=category
  )
  # The first two are items 1 and 2 of one category.
  same = evaluator.figures(np.tile([[0.9], [0.8], [0.1], [0.0]], (2, 1)))
  assert same["entropy@2"] == 0 and same["repeats@2"] == 0.5
  # The first user acted on it five microseconds before, the second long ago.
  assert same["recent@2"] == 0.5
  mixed = evaluator.figures(np.tile([[0.9], [0.1], [0.8], [0.0]], (2, 1)))
  assert mixed["entropy@2"] == pytest.approx(np.log(2))
  assert mixed["repeats@2"] == 0 and mixed["recent@2"] == 0.25
  assert mixed["hit@2"] == 0 and same["hit@2"] == 1


def test_an_action_on_an_unknown_item_is_of_no_category():
  evaluator = RequestScores(
      subject([2 * DAY - 5], no_items=(1, 99)), split="test", category="tags"
  )
  assert evaluator.figures(np.ones((4, 1)))["recent@3"] == 0


def test_a_column_that_is_no_category_is_refused():
  with pytest.raises(UserError, match="category 'price' is no feature of cat"):
    RequestScores(subject([1]), split="test", category="price")
