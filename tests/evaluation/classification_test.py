"""Metrics equal scikit-learn's, also under weights; intervals and tests."""

import numpy as np
import pytest
from sklearn import metrics

from behavior_lm.evaluation import classification
from behavior_lm.evaluation.classification import Predictions


def binary(num=120, folds=3, repetitions=2, seed=0, shift=1.0):
  rng = np.random.default_rng(seed)
  labels = rng.permutation(np.arange(num) % 2)
  noise = rng.normal(0, 1, (repetitions, num)) + shift * labels
  # Rounded, so that there are ties.
  scores = np.round(1 / (1 + np.exp(-noise)), 2)
  fold = np.stack([rng.permutation(np.arange(num) % folds)] * repetitions)
  return Predictions(
      "binary", labels, scores, scores >= 0.6, fold, np.arange(num)
  )


def test_weighted_auc_and_precision_are_those_of_repeated_rows():
  rng = np.random.default_rng(1)
  labels = np.arange(40) % 2
  scores = np.round(rng.random(40) + 0.2 * labels, 1)
  weights = rng.integers(0, 4, (5, 40)).astype(np.float32)
  auc = classification.weighted_auc(labels, scores, weights)
  precision = classification.weighted_average_precision(
      labels, scores, weights
  )
  for draw, times in enumerate(weights.astype(int)):
    rows = np.repeat(np.arange(40), times)
    assert auc[draw] == pytest.approx(
        metrics.roc_auc_score(labels[rows], scores[rows])
    )
    assert precision[draw] == pytest.approx(
        metrics.average_precision_score(labels[rows], scores[rows])
    )


def test_binary_metrics_equal_those_of_scikit_learn():
  found = binary()
  values = {
      name: draws[0]
      for name, draws in classification.measure(found, num_resamples=9).items()
  }
  aucs, precisions = [], []
  for scores, folds in zip(found.scores, found.folds, strict=True):
    for fold in range(3):
      at = folds == fold
      aucs.append(metrics.roc_auc_score(found.labels[at], scores[at]))
      precisions.append(
          metrics.average_precision_score(found.labels[at], scores[at])
      )
  assert values["auc"] == pytest.approx(np.mean(aucs))
  assert values["average_precision"] == pytest.approx(np.mean(precisions))
  labels = np.tile(found.labels, 2)
  scores, decided = found.scores.ravel(), found.decisions.ravel()
  assert values["f1"] == pytest.approx(metrics.f1_score(labels, decided))
  assert values["accuracy"] == pytest.approx(np.mean(labels == decided))
  assert values["log_loss"] == pytest.approx(
      metrics.log_loss(labels, scores), abs=1e-6
  )
  assert values["brier"] == pytest.approx(
      metrics.brier_score_loss(labels, scores)
  )


def test_rows_that_no_fold_tests_do_not_count():
  found = binary(repetitions=1)
  folds = found.folds.copy()
  folds[:, :60] = -1
  garbage = found.scores.copy()
  garbage[:, :60] = np.nan
  one = Predictions(
      "binary", found.labels, garbage, found.decisions, folds, found.users
  )
  half = Predictions(
      "binary", found.labels[60:], found.scores[:, 60:],
      found.decisions[:, 60:], found.folds[:, 60:], np.arange(60),
  )
  for name, draws in classification.measure(half, num_resamples=9).items():
    np.testing.assert_allclose(
        classification.measure(one, num_resamples=9)[name], draws, err_msg=name
    )


def test_an_interval_holds_the_value_and_narrows_with_users():
  widths = []
  for num in (60, 600):
    found = classification.measure(binary(num), num_resamples=300)
    one = classification.estimate(found["auc"])
    assert one.low < one.value < one.high
    widths.append(one.high - one.low)
  assert widths[1] < widths[0] / 2


def test_equal_rows_do_not_differ_and_better_ones_do():
  weak = classification.measure(binary(400, shift=0.2), num_resamples=300)
  same = classification.difference(weak["auc"], weak["auc"])
  assert (same.value, same.p) == (0, 1)
  strong = classification.measure(binary(400, shift=2.0), num_resamples=300)
  better = classification.difference(strong["auc"], weak["auc"])
  assert better.low > 0
  assert better.p < 0.02


def test_users_are_drawn_with_all_of_their_rows():
  found = binary(100)
  by_row = classification.measure(found, num_resamples=400)
  copies = Predictions(
      "binary",
      np.tile(found.labels, 4),
      np.tile(found.scores, 4),
      np.tile(found.decisions, 4),
      np.tile(found.folds, 4),
      np.tile(found.users, 4),
  )
  by_user = classification.measure(copies, num_resamples=400)
  # Four copies of each row are no new information about users.
  np.testing.assert_allclose(by_user["auc"], by_row["auc"])


def test_ranks_share_ties_and_classes_are_scored_by_rank():
  scores = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.2, 0.3, 0.5]])
  labels = np.array([0, 1, 0])
  np.testing.assert_array_equal(
      classification.ranks(scores, labels), [1, 1.5, 3]
  )
  found = Predictions(
      "multi_class", labels, scores[None], None,
      np.zeros((1, 3), int), np.arange(3),
  )
  values = classification.measure(found, num_resamples=9)
  assert values["top_1"][0] == pytest.approx(1 / 3)
  assert values["top_3"][0] == 1
  assert values["log_loss"][0] == pytest.approx(
      metrics.log_loss(labels, scores, labels=[0, 1, 2])
  )
  gains = 1 / np.log2(1 + np.array([1, 1.5, 3]))
  assert values["ndcg_10"][0] == pytest.approx(gains.mean())


def test_multi_label_and_regression_equal_scikit_learn():
  rng = np.random.default_rng(2)
  labels = rng.integers(0, 2, (80, 3))
  scores = np.clip(rng.random((80, 3)) * 0.6 + 0.3 * labels, 0.01, 0.99)
  found = Predictions(
      "multi_label", labels, scores[None], None,
      np.zeros((1, 80), int), np.arange(80),
  )
  values = classification.measure(found, num_resamples=9)
  assert values["auc"][0] == pytest.approx(
      metrics.roc_auc_score(labels, scores)
  )
  truth = rng.normal(size=80)
  guess = truth + rng.normal(0, 0.5, 80)
  found = Predictions(
      "regression", truth, guess[None], None,
      np.zeros((1, 80), int), np.arange(80),
  )
  values = classification.measure(found, num_resamples=9)
  assert values["r2"][0] == pytest.approx(metrics.r2_score(truth, guess))
  assert values["mae"][0] == pytest.approx(np.abs(truth - guess).mean())


@pytest.mark.slow
def test_the_threshold_has_the_best_f1_of_all():
  rng = np.random.default_rng(3)
  for _ in range(20):
    labels = rng.integers(0, 2, 30)
    labels[0] = 1
    scores = np.round(rng.random(30), 1)
    chosen = classification.best_threshold(labels, scores)
    best = max(
        metrics.f1_score(labels, scores >= at) for at in np.unique(scores)
    )
    assert metrics.f1_score(labels, scores >= chosen) == pytest.approx(best)


def test_calibration_compares_probabilities_with_shares():
  rng = np.random.default_rng(4)
  scores = rng.random(20_000)
  labels = (rng.random(20_000) < scores).astype(int)
  bins = classification.calibration(labels, scores)
  assert sum(one["rows"] for one in bins) == 20_000
  for one in bins:
    assert one["predicted"] == pytest.approx(one["observed"], abs=0.04)
