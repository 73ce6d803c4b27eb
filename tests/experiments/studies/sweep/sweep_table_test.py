from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.artifacts.scores import SequenceScores
from experiments.studies.sweep.sweep_table import holm
from experiments.studies.sweep.sweep_table import mean_scores


def test_holm_multiplies_the_smallest_most():
  # Worked by hand: sorted .01, .02, .03, .04 times 4, 3, 2, 1.
  assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx(
      [0.06, 0.04, 0.06, 0.06]
  )
  assert holm([0.9, 0.8]) == [1.0, 1.0]
  assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=8))
def test_corrected_p_values_keep_their_order_and_are_no_smaller(p_values):
  found = holm(p_values)
  assert all(a >= b for a, b in zip(found, p_values, strict=True))
  order = np.argsort(p_values, kind="stable")
  assert (np.diff(np.asarray(found)[order]) >= 0).all()


def test_the_mean_over_seeds_is_that_of_each_sequence():
  one = lambda nats: SequenceScores(
      nats=np.asarray(nats),
      correct=np.asarray([1.0, 0.0]),
      hidden_bits=np.zeros(2),
      count=np.ones(2),
      num_events=np.ones(2),
      users=np.asarray(["a", "b"]),
  )
  mean = mean_scores([one([1.0, 2.0]), one([3.0, 6.0])])
  assert mean.nats.tolist() == [2.0, 4.0]
  assert mean.summary()["accuracy"] == 0.5
