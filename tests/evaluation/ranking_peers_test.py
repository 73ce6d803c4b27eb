"""RecTools gives the same scores the same metrics."""

import json

import numpy as np
import pytest

from behavior_lm.evaluation.ranking import MEASURES
from behavior_lm.evaluation.ranking import rank_items
from behavior_lm.evaluation.ranking import Ranking
from tests.peers import run_peer


@pytest.mark.slow
@pytest.mark.parametrize("k", [1, 10])
def test_metrics_are_those_of_rectools(tmp_path, k):
  rng = np.random.default_rng(0)
  shape = users, items = 300, 120
  scores = rng.standard_normal(shape)
  seen = rng.random(shape) < 0.2
  targets = rng.integers(0, items, users)
  seen[np.arange(users), targets] = False
  # Half of the targets are easy to find.
  scores[np.arange(0, users, 2), targets[::2]] += 2
  np.savez(tmp_path / "in.npz", scores=scores, seen=seen, targets=targets)
  want = json.loads(run_peer("ranking_metrics", tmp_path / "in.npz", k))

  ranks, top = rank_items(scores, targets, list(map(np.flatnonzero, seen)), k)
  got = Ranking(
      users=np.arange(users),
      ranks=ranks,
      top=top,
      counts=np.ones(items, int),
      history=seen.sum(1),
      k=k,
  )
  for measure in MEASURES:
    values = got.values(measure)
    assert 0.1 < values.mean() < 0.9
    np.testing.assert_allclose(values, want[measure], atol=1e-9, rtol=0)
  assert got.summary()[f"coverage@{k}"] == pytest.approx(
      want["coverage"], abs=1e-9
  )
