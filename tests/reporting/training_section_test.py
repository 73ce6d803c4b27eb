"""Tests for the curves of training."""

import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np

from behavior_lm.reporting import training_section
from tests.reporting.example_run import metrics_lines


@given(st.integers(1, 300), st.floats(-5, 5), st.floats(-3, 3))
def test_smoothing_leaves_a_straight_line_alone(count, slope, start):
  values = start + slope * np.arange(count)
  np.testing.assert_allclose(training_section.smooth(values), values, atol=1e-6)


def test_smoothing_takes_noise_away_from_many_lines_alone():
  noise = np.random.default_rng(0).normal(size=400)
  inner = slice(20, -20)
  assert training_section.smooth(noise)[inner].std() < 0.4 * noise[inner].std()
  np.testing.assert_allclose(training_section.smooth(noise[:39]), noise[:39])


def test_values_that_are_not_finite_are_left_out_and_counted():
  lines = [
      {"step": 1, "loss": 2.0},
      {"step": 2, "loss": math.nan},
      {"step": 2, "eval/days/ndcg": 9.0},
      {"step": 3, "loss": math.inf},
      {"step": 4, "loss": 1.0},
  ]
  steps, values = training_section.series(lines, "loss")
  assert steps.tolist() == [1, 4] and values.tolist() == [2.0, 1.0]
  assert "in 2 lines" in training_section.training_section(lines, {}).body
  lost = [{"step": 1, "loss": math.nan}]
  assert training_section.training_section(lost, {}).figures == []


def test_every_metric_has_a_figure_that_its_evaluations_join():
  figures = {
      figure.name.removeprefix("training_"): [
          line.get_label() for line in figure.axes.get_lines()
      ]
      for figure in training_section.training_figures(metrics_lines())
  }
  assert figures.keys() == {
      "loss", "perplexity", "learning_rate", "events_per_second", "ndcg"
  }
  assert figures["perplexity"] == [
      "smoothed", "each log line", "next_days", "new_users"
  ]
  assert figures["ndcg"] == ["new_users"]


def test_a_run_without_lines_has_no_curves():
  assert training_section.training_section([], {}).figures == ()
