"""Probes: they find what is there, and nothing where nothing is."""

import numpy as np
import pytest
from scipy import sparse

from behavior_lm.baselines.counts import UserFeatures
from behavior_lm.downstream import models
from behavior_lm.downstream import probe

FAST = {
    probe.EMBEDDING: probe.Probe((probe.EMBEDDING,)),
    probe.COUNTS: probe.Probe((probe.COUNTS,)),
}


def world(seed, num_users=160):
  """Labels, counts that tell nothing, vectors that tell the label."""
  rng = np.random.default_rng(seed)
  labels = rng.permutation(np.arange(num_users) % 2)
  counts = sparse.csr_array(rng.poisson(1.0, (num_users, 60)).astype("f4"))
  vectors = rng.normal(0, 1, (num_users, 10))
  vectors[:, 0] += 2.5 * labels
  features = UserFeatures(
      [f"u{i}" for i in range(num_users)],
      np.asarray(counts.sum(axis=1)).astype(np.int64),
      counts,
      rng.normal(0, 1, (num_users, 3)),
  )
  return labels, features, vectors


@pytest.mark.slow
def test_what_the_vectors_tell_is_found_and_tested():
  labels, features, vectors = world(0)
  rows = probe.run_probes(
      labels, probe.make_blocks(features, vectors), probes=FAST, seeds=(0, 1)
  )
  found, reference = rows
  assert found["features"] == "embedding"
  assert found["auc"] > 0.9
  assert found["auc_ci"][0] < found["auc"] < found["auc_ci"][1]
  assert found["f1"] > 0.8
  assert found["p_vs_event_counts"] < 1e-6
  assert reference["p_vs_event_counts"] is None
  assert abs(reference["auc"] - 0.5) < 0.12
  assert (found["folds"], found["seeds"]) == (5, [0, 1])
  assert (found["num_users"], found["num_positive"]) == (160, 80)


@pytest.mark.slow
def test_shuffled_labels_give_chance():
  # A leak of the folds would let these 300 columns memorise 120 users.
  values = []
  for seed in range(4):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(120) % 2)
    vectors = rng.normal(0, 1, (120, 300))
    _, features, _ = world(seed, 120)
    blocks = probe.make_blocks(features, vectors)
    values += [
        row["auc"]
        for row in probe.run_probes(labels, blocks, probes=FAST, seeds=(0,))
    ]
  assert abs(np.mean(values) - 0.5) < 0.06
  assert max(values) < 0.7


@pytest.mark.parametrize("forest", [False, True])
def test_a_tested_users_label_cannot_reach_their_own_score(forest, monkeypatch):
  monkeypatch.setattr(models, "NUM_TREES", 20)
  labels, features, vectors = world(1, 80)
  blocks = probe.make_blocks(features, vectors)
  model = probe.Probe((probe.EMBEDDING, probe.COUNTS, probe.GAPS), forest)
  folds = np.arange(80) // 2 % 4
  one = probe._out_of_fold(model, blocks, labels, folds, 0)[0]
  flipped = np.where(folds == 2, 1 - labels, labels)
  two = probe._out_of_fold(model, blocks, flipped, folds, 0)[0]
  np.testing.assert_array_equal(one[folds == 2], two[folds == 2])
  assert (one[folds != 2] != two[folds != 2]).any()


def test_features_are_chosen_on_the_training_users_of_each_fold():
  labels, _, vectors = world(5, 60)
  folds = np.arange(60) // 2 % 3
  asked = []

  def block(rows):
    asked.append(rows)
    return vectors

  model = probe.Probe((probe.EMBEDDING,))
  probe._out_of_fold(model, {probe.EMBEDDING: block}, labels, folds, 0)
  for fold, rows in enumerate(asked):
    np.testing.assert_array_equal(rows, np.flatnonzero(folds != fold))
  assert len(asked) == 3


@pytest.mark.slow
def test_every_probe_of_the_table_runs(monkeypatch):
  monkeypatch.setattr(models, "NUM_TREES", 10)
  labels, features, vectors = world(2, 60)
  seen = []
  rows = probe.run_probes(
      labels,
      probe.make_blocks(features, vectors),
      seeds=(0,),
      progress=seen.append,
  )
  assert [row["features"] for row in rows] == list(probe.PROBES)
  assert seen == [f"{name}, seed 0" for name in probe.PROBES]
  assert {row["model"] for row in rows} == {
      "logistic regression", "random forest",
  }  # fmt: skip
  assert all(0 <= row["auc"] <= 1 for row in rows)


@pytest.mark.slow
def test_the_same_seeds_give_the_same_rows():
  labels, features, vectors = world(3, 60)
  blocks = probe.make_blocks(features, vectors)
  run = lambda: probe.run_probes(labels, blocks, probes=FAST, seeds=(4,))
  assert run() == run()


def test_too_few_of_a_class_are_named():
  labels = np.array([1] * 4 + [0] * 50)
  assert "4 users have 1, and 5 folds take at least 5" in probe.why_not(labels)
  assert probe.why_not(np.array([1] * 5 + [0] * 50)) == ""
  # Each half must itself hold three inner folds of both.
  assert probe.why_not(np.array([1] * 5 + [0] * 50), num_folds=2) != ""
  with pytest.raises(ValueError, match="4 users have 1"):
    probe.run_probes(labels, {})


def test_blocks_of_other_users_are_refused():
  _, features, vectors = world(4, 60)
  with pytest.raises(ValueError, match="60 users, 59 vectors"):
    probe.make_blocks(features, vectors[1:])
