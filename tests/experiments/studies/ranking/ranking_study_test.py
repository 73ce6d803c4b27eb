"""The table of the study: means over seeds, paired tests, its page."""

import numpy as np
import pytest

from experiments.studies.ranking import ranking_study as study


def draws(shift: float) -> dict[str, np.ndarray]:
  rng = np.random.default_rng(0)
  noise = np.concatenate([[0.0], rng.normal(0, 0.01, 500)])
  return dict.fromkeys(study.MEASURES, 0.7 + shift + noise)


def figures(hit: float) -> dict:
  return {"figures": {"buy/auc": 0.6, "buy/hit@3": hit, "recent@3": 0.25}}


@pytest.fixture
def result() -> dict:
  plain, runs = draws(0.0), [draws(0.02), draws(0.04)]
  return {
      "command": "python experiments/studies/ranking/run.py",
      "data": "toy",
      "changes": {"epochs": 3},
      "reference": "ids",
      "test_rows": 1_000,
      "test_users": 20,
      "uauc_users": 10,
      "published": {"other": (0.5, 0.6)},
      "rows": [
          study.row_of("ids", [plain], plain, []),
          study.row_of("ours", runs, plain, [figures(0.2), figures(0.4)]),
      ],
  }


def test_a_row_is_the_mean_over_seeds_with_a_paired_test(result):
  row = result["rows"][1]["auc"]
  assert row["value"] == pytest.approx(0.73)
  assert row["seeds"] == pytest.approx([0.72, 0.74])
  # The users are the same, so what they share cancels.
  assert row["gap_ci"] == pytest.approx([0.03, 0.03])
  assert row["p"] < 0.01 and row["ci"][0] < 0.72
  assert result["rows"][0]["auc"]["gap"] == 0


def test_the_page_tells_command_settings_and_published_figures(result):
  page = study.page(result)
  assert "| ours | 2 | 0.7300" in page and "| other |  | 0.5000" in page
  assert "epochs=3" in page and "10 with both classes" in page
  lines = [line.replace(" ", "") for line in page.splitlines()]
  assert "|model|buy/hit@3|recent@3|" in lines
  assert "|ours|0.3000|0.2500|" in lines and "|ours|buy|0.6000|" in lines


def test_changes_reach_the_config_and_a_row_may_overrule_them():
  variant = study.Variant("x", "transact", {"model.window": "example"})
  config = study.variant_config(
      "ml1m_ctr", "here", variant, 3,
      {"model.window": "none", "model.mlp_dims": 32, "objective.l2": 0.5},
  )
  assert (config.seed, config.data.path) == (3, "here")
  assert (config.model.window, config.model.mlp_dims) == ("example", "32")
  assert config.objective.l2 == 0.5


def test_every_row_has_a_config():
  for variant in study.VARIANTS:
    config = study.variant_config("ml1m_ctr", "here", variant, 0, {})
    assert config.model.history == variant.history
