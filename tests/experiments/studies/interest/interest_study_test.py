import numpy as np

from behavior_lm.evaluation.own_short import OwnRanks
from experiments.studies.interest import interest_study as study


def ranks(*values):
  users = np.array([f"u{n}" for n in range(len(values))], object)
  return OwnRanks(users, np.array(values))


def test_arms_differ_in_what_they_say():
  changes = {"experts.num_experts": 16, "optim.learning_rate": 0.5}
  configs = {
      name: study.arm_config(name, "D", steps=7, seed=1, changes=changes)
      for name in study.ARMS
  }
  assert configs["described"].objective.name == "bpr"
  assert configs["described"].experts.balance == "share"
  assert configs["bias"].experts.balance == "bias"
  # What an arm says comes behind what is said for all.
  assert configs["no_experts"].experts.num_experts == 0
  assert "hour" not in configs["no_clock"].data.features
  for config in configs.values():
    assert (config.total_steps, config.seed) == (7, 1)
    assert config.optim.learning_rate == 0.5
  texts = {config.to_json_best_effort() for config in configs.values()}
  assert len(texts) == len(study.ARMS)


def test_the_page_shows_every_arm_and_what_it_gains():
  models = {"softmax": ranks(1, 1, 2, 1), "described": ranks(4, 1, 9, 2)}
  rows = study.make_rows(
      models, {"popularity": ranks(9, 9, 9, 9)}, set()
  )
  pairs = study.paired(models)
  [pair] = pairs
  assert np.isclose(pair["value"], (0.25 + 1 + 1 / 9 + 0.5 - 3.5) / 4)
  page = study.page({
      "command": "python run.py",
      "users": 4,
      "others": 3,
      "steps": 7,
      "batch_size": 2,
      "seed": 0,
      "rows": rows,
      "pairs": pairs,
      "runs": {
          "softmax": {
              "load_excess": 1.5, "load_entropy": 0.8, "dead_experts": 0.25
          }
      },
  })
  assert "| softmax, experts by share, CLS | 1.50 | 0.80 | 0.25 |" in page
  assert "| popularity | baseline |" in page
  assert f"{pair['value']:+.3f}" in page
