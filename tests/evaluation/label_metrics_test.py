import numpy as np
import pytest

from behavior_lm.evaluation.label_metrics import binary_figures
from behavior_lm.evaluation.label_metrics import label_figures
from behavior_lm.evaluation.label_metrics import multi_class_figures
from behavior_lm.evaluation.label_metrics import regression_figures
from behavior_lm.objectives.labels import Target

TRUTH = np.array([0, 0, 1, 1, 0, 1])
SCORES = np.array([0.1, 0.4, 0.35, 0.8, 0.2, 0.7])


def f1_at(threshold):
  said = SCORES >= threshold
  hits = (said & (TRUTH == 1)).sum()
  return 2 * hits / (said.sum() + TRUTH.sum())


def test_binary_figures_are_those_of_the_definitions():
  found = binary_figures(TRUTH, SCORES, threshold=0.5)
  pairs = [
      (p > n) + 0.5 * (p == n)
      for p in SCORES[TRUTH == 1]
      for n in SCORES[TRUTH == 0]
  ]
  assert found["auc"] == pytest.approx(np.mean(pairs))
  likelihood = np.where(TRUTH == 1, SCORES, 1 - SCORES)
  assert found["log_loss"] == pytest.approx(-np.log(likelihood).mean())
  assert found["brier"] == pytest.approx(((SCORES - TRUTH) ** 2).mean())
  assert found["f1"] == pytest.approx(f1_at(0.5))
  assert found["accuracy"] == pytest.approx(5 / 6)
  assert found["threshold"] == 0.5


def test_one_class_alone_has_no_auc_and_certain_errors_a_finite_loss():
  found = binary_figures(np.ones(3), np.zeros(3))
  assert np.isnan(found["auc"]) and np.isfinite(found["log_loss"])


def test_classes_are_ranked():
  scores = np.array([[0.5, 0.3, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4]])
  found = multi_class_figures(np.array([0.0, 0.0]), scores)
  assert found["accuracy"] == 0.5 and found["top3"] == 0.5
  assert found["log_loss"] == pytest.approx(-np.log([0.5, 0.1]).mean())


def test_regression_figures():
  found = regression_figures(np.array([1.0, 3.0]), np.array([2.0, 3.0]))
  assert found["mean_absolute_error"] == 0.5
  assert found["root_mean_squared_error"] == pytest.approx(0.5**0.5)
  assert found["r2"] == pytest.approx(0.5)


def test_missing_labels_and_rows_without_a_prediction_are_left_out():
  labels = np.stack([TRUTH, [0, 1, 2, -1, 1, 0]], 1).astype(np.float32)
  labels[0, 0] = np.nan
  targets = Target("bot", "binary"), Target("map", "multi_class", 3)
  scores = SCORES.copy()
  scores[5] = np.nan
  predicted = {"bot": scores, "map": np.full((6, 3), 1 / 3)}
  found = label_figures(targets, labels, predicted, {"bot": 0.5})
  assert found["bot/rows"] == 4 and found["map/rows"] == 5
  alone = label_figures(targets[:1], labels[:, :1], predicted, {"bot": 0.5})
  want = binary_figures(TRUTH[1:5], SCORES[1:5], 0.5)
  for name, value in want.items():
    assert alone[name] == found[f"bot/{name}"] == pytest.approx(value)


def test_sets_of_classes_are_judged_class_by_class():
  labels = np.stack([TRUTH, 1 - TRUTH, np.ones(6)], 1).astype(np.float32)
  predicted = {"tags": np.stack([SCORES, 1 - SCORES, SCORES], 1)}
  found = label_figures([Target("tags", "multi_label", 3)], labels, predicted)
  # The third class has one value alone.
  assert found["auc"] == pytest.approx(binary_figures(TRUTH, SCORES)["auc"])
