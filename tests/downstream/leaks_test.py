"""Planted leaks are caught."""

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import END_OF_HISTORY
from behavior_lm.downstream import leaks


def test_an_event_at_the_time_of_its_row_is_a_leak():
  leaks.check_before(np.array([1, 2, 3]), 4, "u1")
  leaks.check_before(np.array([1, 2, 3]), END_OF_HISTORY, "u1")
  leaks.check_before(np.array([], int), 4, "u1")
  with pytest.raises(UserError, match="leak: user 'u1' has an event at 4"):
    leaks.check_before(np.array([1, 2, 4]), 4, "u1")


def test_a_user_on_both_sides_is_a_leak():
  users = np.array(["a", "b", "a", "c"])
  leaks.check_users(np.array([0, 2]), np.array([1, 3]), users)
  with pytest.raises(UserError, match="1 users are in train and in test.*'a'"):
    leaks.check_users(np.array([0, 1]), np.array([2, 3]), users)


def test_a_training_row_after_a_tested_one_is_a_leak():
  times = np.array([1, 2, 3, 4])
  leaks.check_times(np.array([0, 1]), np.array([2, 3]), times)
  with pytest.raises(UserError, match="a training row is at 3, a tested one"):
    leaks.check_times(np.array([0, 2]), np.array([2, 3]), times)


def test_a_column_that_separates_the_classes_alone_is_named():
  rng = np.random.default_rng(0)
  labels = np.arange(200) % 2
  found = leaks.suspicious(
      labels,
      {
          "noise": rng.normal(size=200),
          "planted": -3.0 * labels + 0.1 * rng.normal(size=200),
          "missing for 1": np.where(labels == 1, np.nan, 1.0),
          "half": labels + 2.0 * rng.normal(size=200),
      },
      0.95,
      "look at it",
  )
  assert {one.column for one in found} == {"planted", "missing for 1"}
  assert found[0].auc > 0.99
  assert "alone has AUC 1.000: look at it" in found[0].text()
