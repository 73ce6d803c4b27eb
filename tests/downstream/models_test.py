"""Every model learns an easy label of every kind, from training rows alone."""

import numpy as np
import pytest
from scipy import sparse

from behavior_lm.downstream import models

KINDS = ("binary", "multi_class", "multi_label", "regression")


@pytest.fixture(autouse=True)
def small(monkeypatch):
  monkeypatch.setattr(models, "NUM_TREES", 20)
  monkeypatch.setattr(models, "NUM_ROUNDS", 40)
  monkeypatch.setattr(models, "STRENGTHS", (1e-2, 1.0))


def world(kind, num=150):
  rng = np.random.default_rng(0)
  signal = rng.normal(size=num)
  rows = np.column_stack([signal, rng.normal(size=(num, 3))])
  labels = {
      "binary": (signal > 0).astype(int),
      "multi_class": np.digitize(signal, [-0.5, 0.5]),
      "multi_label": np.column_stack([signal > 0, signal < 0.5]).astype(int),
      "regression": signal,
  }[kind]
  return rows, labels


def quality(kind, labels, scores):
  if kind == "regression":
    return np.corrcoef(labels, scores)[0, 1]
  if kind == "multi_class":
    return np.mean(scores.argmax(axis=1) == labels)
  return np.mean((scores > 0.5) == labels)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "model", [models.LOGISTIC, models.FOREST, models.BOOSTING, models.PRIOR]
)
def test_a_model_learns_each_kind(model, kind):
  rows, labels = world(kind)
  train, test = np.arange(100), np.arange(100, 150)
  found = models.fit_and_score(
      model, kind, rows[train], labels[train], rows[test], num_classes=3
  )
  assert len(found.scores) == 50
  if model == models.PRIOR:
    assert np.ptp(found.scores, axis=0).max() == 0
  else:
    assert quality(kind, labels[test], found.scores) > 0.8
  if kind == "binary":
    assert 0 < found.threshold < 1


@pytest.mark.parametrize("model", [models.LOGISTIC, models.FOREST])
def test_sparse_rows_are_learned_as_dense_ones_are(model):
  rows, labels = world("binary")
  rows = np.abs(rows) * (rows > 0)
  matrix = sparse.csr_array(rows)
  found = models.fit_and_score(
      model, "binary", matrix[:100], labels[:100], matrix[100:]
  )
  assert quality("binary", labels[100:], found.scores) > 0.8


def test_classes_without_a_training_row_get_nothing():
  rows, labels = world("multi_class")
  found = models.fit_and_score(
      models.FOREST, "multi_class", rows[:100], labels[:100], rows[100:],
      num_classes=5,
  )
  assert found.scores.shape == (50, 5)
  np.testing.assert_array_equal(found.scores[:, 3:], 0)


def test_the_threshold_does_not_look_at_tested_rows():
  rows, labels = world("binary")
  for model in (models.LOGISTIC, models.FOREST, models.BOOSTING):
    one, two = (
        models.fit_and_score(
            model, "binary", rows[:100], labels[:100], tested
        )
        for tested in (rows[100:], 5 + rows[100:])
    )
    assert one.threshold == two.threshold


def test_an_unknown_model_is_named():
  with pytest.raises(ValueError, match="model 'magic'"):
    models.fit_and_score(
        "magic", "binary", np.zeros((2, 1)), np.arange(2), np.zeros((1, 1))
    )
