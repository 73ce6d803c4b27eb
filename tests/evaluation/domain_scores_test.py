import math

import numpy as np
import pytest
from sklearn import metrics

from behavior_lm.common.errors import UserError
from behavior_lm.evaluation.domain_scores import domain_figures
from behavior_lm.evaluation.domain_scores import DomainScores

RNG = np.random.default_rng(0)
DOMAINS = np.array(["a", "b", "c"])[RNG.integers(3, size=60)]
LABELS = RNG.integers(2, size=60).astype(np.float32)
SCORES = RNG.uniform(0.05, 0.95, size=60)


def test_each_domain_has_the_figures_of_scikit_learn():
  found = domain_figures(DOMAINS, LABELS, SCORES)
  for name in "abc":
    rows = DOMAINS == name
    auc = metrics.roc_auc_score(LABELS[rows], SCORES[rows])
    loss = metrics.log_loss(LABELS[rows], SCORES[rows])
    assert found[f"{name}/auc"] == pytest.approx(auc)
    assert found[f"{name}/log_loss"] == pytest.approx(loss)
  for name in ("auc", "log_loss"):
    mean = np.mean([found[f"{domain}/{name}"] for domain in "abc"])
    assert found[name] == pytest.approx(mean)


def test_a_domain_of_one_class_has_no_auc():
  labels = np.where(DOMAINS == "b", 1.0, LABELS)
  found = domain_figures(DOMAINS, labels, SCORES)
  assert math.isnan(found["b/auc"]) and found["b/log_loss"] > 0
  assert found["auc"] == pytest.approx((found["a/auc"] + found["c/auc"]) / 2)


class Subject:
  sides = {"test": (None, LABELS[:, None])}

  def predict(self, state, split_name):
    return {"liked": state["scores"]}


def test_the_evaluator_measures_a_split():
  made = DomainScores(Subject(), {"test": DOMAINS}, split="test")
  found = made.run({"scores": SCORES})
  assert found == domain_figures(DOMAINS, LABELS, SCORES)
  with pytest.raises(UserError, match="divided into test"):
    DomainScores(Subject(), {"test": DOMAINS}, split="valid")
