import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np

from behavior_lm.reporting import curves
from tests.reporting.example_run import metrics_lines


@given(st.integers(1, 300), st.floats(-5, 5), st.floats(-3, 3))
def test_smoothing_leaves_a_straight_line_alone(count, slope, start):
  values = start + slope * np.arange(count)
  np.testing.assert_allclose(curves.smooth(values), values, atol=1e-6)


def test_smoothing_takes_noise_away():
  noise = np.random.default_rng(0).normal(size=400)
  inner = slice(20, -20)
  assert curves.smooth(noise)[inner].std() < 0.4 * noise[inner].std()


def test_few_lines_are_not_smoothed():
  values = np.random.default_rng(0).normal(size=39)
  np.testing.assert_allclose(curves.smooth(values), values)


def test_values_that_are_not_finite_are_left_out():
  lines = [
      {"step": 1, "loss": 2.0},
      {"step": 2, "loss": math.nan},
      {"step": 2, "eval/perplexity": 9.0},
      {"step": 3, "loss": math.inf},
      {"step": 4, "loss": 1.0},
  ]
  steps, values = curves.series(lines, "loss")
  assert steps.tolist() == [1, 4]
  assert values.tolist() == [2.0, 1.0]
  assert curves.lost_lines(lines) == 2


def test_raw_and_smoothed_curves_and_evaluations_are_all_drawn():
  figures = {
      figure.name: figure for figure in curves.training_figures(metrics_lines())
  }
  assert list(figures) == [
      "training_perplexity",
      "training_accuracy",
      "training_speed",
      "training_learning_rate",
  ]
  for text in ("each log line", "smoothed", "evaluated on held-out days"):
    assert f">{text}<" in figures["training_perplexity"].svg
  assert ">smoothed<" in figures["training_speed"].svg


def test_a_run_of_one_line_has_its_figures():
  figures = curves.training_figures(
      [{"step": 50, "loss": 7.0, "accuracy": 0.0, "learning_rate": 1e-3}]
  )
  assert len(figures) == 3
  assert "smoothed" not in figures[0].svg


def test_a_run_that_diverged_at_once_has_no_curve():
  assert curves.training_figures([{"step": 50, "loss": math.nan}]) == []
