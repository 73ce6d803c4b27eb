"""Tests for points with their intervals."""

import math

from hypothesis import given
from hypothesis import strategies as st

from behavior_lm.reporting import comparisons


def figure_of(values, interval=None):
  points = [
      comparisons.Point(f"row {n}", value, f"{value:g}", interval, "blue", "o")
      for n, value in enumerate(values)
  ]
  return comparisons.points_figure("name", "t", "c", points, "bits", 2.0)


def test_every_finite_value_has_a_line_with_its_number():
  axes = figure_of([1.5, 7.0, math.nan, 2.0], interval=[1.0, 8.0]).axes
  assert [t.get_text() for t in axes.get_yticklabels()] == [
      "row 0", "row 1", "row 3"
  ]
  assert [text.get_text() for text in axes.texts] == ["1.5", "7", "2"]


def test_no_finite_value_is_an_empty_figure():
  assert not len(figure_of([math.nan]).axes.texts)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_at_most_one_value_lies_outside_of_the_axis(values):
  low, high = comparisons.limits(values)
  assert sum(not low <= value <= high for value in values) <= 1


def test_a_value_far_off_on_either_side_is_cut():
  assert comparisons.limits([1.0, 2.0, 9.0]) == (1.0, 2.25)
  assert comparisons.limits([-9.0, 1.0, 2.0]) == (0.75, 2.0)
  assert comparisons.limits([1.0, 2.0, 2.5]) == (1.0, 2.5)
