import numpy as np
import pytest

from behavior_lm.recipes.domain_run import DomainPredictions
from experiments.studies.domains import domain_tables
from experiments.studies.domains import screens
from experiments.studies.domains.domain_study import Study
from experiments.studies.domains.domain_study import summary


@pytest.fixture
def study(tmp_path):
  return Study(
      sources={"beauty": "synthetic:120:0", "music": "synthetic:120:1"},
      language="", work=tmp_path, seeds=1, steps=2, adapt_steps=2,
      dtype="float32", parts=("linear", "poolings"),
  )  # fmt: skip


def test_baselines_are_measured_once_and_told_in_a_table(study):
  (result,) = study.run()
  assert [row["model"] for row in result["rows"]] == [
      "ids", "ids and statistics"
  ]
  page = domain_tables.to_markdown(result)
  auc = result["rows"][0]["figures"]["music/auc"]
  assert f"{auc:.4f} [" in page and "beauty test 24" in page
  kept = study.work / "linear_ids.json"
  kept.write_text(kept.read_text().replace('"ids"', '"kept"', 1))
  (again,) = study.run()
  assert again["rows"][0]["model"] == "kept"


def test_figures_are_means_over_runs_with_intervals_over_users():
  rng = np.random.default_rng(0)
  labels = rng.integers(2, size=40)
  runs = [
      DomainPredictions(
          np.array(["a", "b"] * 20),
          np.array([f"u{n % 9}" for n in range(40)]),
          labels,
          np.clip(labels * 0.3 + rng.uniform(0.1, 0.6, 40), 0, 1),
      )
      for _ in range(2)
  ]
  found = summary(runs)
  alone = [summary([run])["figures"]["a/auc"] for run in runs]
  assert found["figures"]["a/auc"] == pytest.approx(np.mean(alone))
  assert found["range"]["a/auc"] == pytest.approx(np.ptp(alone))
  low, high = found["intervals"]["a"]
  assert low < alone[0] < high
  assert screens.auc_intervals(runs[0]) == found["intervals"]


@pytest.mark.slow
def test_poolings_learn_from_fixed_states():
  rng = np.random.default_rng(0)
  lengths = rng.integers(3, 9, 80).astype(np.int32)
  labels = (np.arange(80) % 2).astype(np.float32)
  states = rng.normal(size=(80, 8, 6)).astype(np.float16)
  states[:, :, 0] += 2 * labels[:, None]
  train, test = ((states[part], lengths[part])
                 for part in (slice(0, 60), slice(60, None)))
  make = lambda rngs: screens._Pooled(
      "gaussian", {"weight": "vector"}, 6, rngs=rngs
  )
  scores = screens._fit(make, train, labels[:60], test)
  assert ((scores > 0.5) == labels[60:]).mean() > 0.8
