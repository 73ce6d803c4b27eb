"""Metrics of requests equal scikit-learn and counts by hand."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest
from sklearn import metrics

from behavior_lm.evaluation import classification
from behavior_lm.evaluation import request_metrics


def rows(seed: int, size: int = 60):
  rng = np.random.default_rng(seed)
  users = rng.integers(0, 9, size)
  labels = rng.integers(0, 2, size)
  # Few values: ties are frequent.
  scores = rng.integers(1, 8, size) / 10 + 0.1 * labels
  return labels, scores, users


@given(st.integers(0, 10_000))
def test_uauc_is_the_mean_of_the_users_with_both_classes(seed):
  labels, scores, users = rows(seed)
  values = [
      metrics.roc_auc_score(labels[users == user], scores[users == user])
      for user in range(9)
      if len(set(labels[users == user])) == 2
  ]
  got = request_metrics.uauc(labels, scores, users.astype(str))
  assert got == pytest.approx(np.mean(values))


def test_uauc_of_users_with_one_class_is_not_a_number():
  assert np.isnan(request_metrics.uauc([1, 0], [0.1, 0.2], [1, 2]))


def test_figures_of_rows_equal_scikit_learn():
  labels, scores, users = rows(1, 300)
  found = request_metrics.row_figures(labels, scores, users)
  assert found["auc"] == pytest.approx(metrics.roc_auc_score(labels, scores))
  assert found["log_loss"] == pytest.approx(metrics.log_loss(labels, scores))
  assert found["calibration"] == pytest.approx(scores.mean() / labels.mean())


def test_calibration_error_is_zero_where_shares_are_met():
  labels = np.tile([1, 0, 0, 0], 100)
  exact = np.full(400, 0.25)
  error = request_metrics.calibration_error
  assert error(labels, exact) == pytest.approx(0.0)
  assert error(labels, exact + 0.2) == pytest.approx(0.2)


def brute_force_hits(requests, scores, labels, k):
  hits = []
  for request in sorted(set(requests)):
    at = [n for n in range(len(requests)) if requests[n] == request]
    first = sorted(at, key=lambda n: (-scores[n], n))[:k]
    hits.append(any(labels[n] == 1 for n in first))
  return np.mean(hits)


@given(st.integers(0, 10_000), st.integers(1, 4))
def test_hits_equal_a_count_by_hand(seed, k):
  labels, scores, requests = rows(seed)
  other = np.where(labels == 1, np.nan, 1.0)
  found = request_metrics.hit_at_k(
      requests, scores, {"click": labels, "hide": other}, k
  )
  for head, values in (("click", labels), ("hide", other)):
    want = brute_force_hits(requests, scores, values, k)
    assert found[head] == pytest.approx(want)


def test_resamples_start_with_the_value_of_all_users_and_pair():
  labels, scores, users = rows(3, 200)
  found = request_metrics.resampled(labels, scores, users, num_resamples=200)
  figures = request_metrics.row_figures(labels, scores, users)
  for name, values in found.items():
    assert values[0] == pytest.approx(figures[name], abs=1e-6)
    low, high = classification.estimate(values).interval
    assert low < values[0] < high
  worse = request_metrics.resampled(
      labels, 1 - scores, users, num_resamples=200
  )
  gap = classification.difference(found["auc"], worse["auc"])
  assert gap.value > 0 and gap.p < 0.05
