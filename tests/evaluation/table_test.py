import json

import numpy as np
import pytest

from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.baselines.count_baselines import FULL_CONTEXT
from behavior_lm.baselines.count_baselines import SAME_INFORMATION
from behavior_lm.baselines.count_baselines import UNIGRAM
from behavior_lm.evaluation import table

USERS = np.repeat([f"user{i}" for i in range(20)], 3)


def scores(bits_per_event, seed=0, users=USERS):
  rng = np.random.default_rng(seed)
  count = rng.integers(5, 50, len(users)).astype(float)
  noise = np.random.default_rng(seed + 1).normal(0, 0.05, len(users))
  return SequenceScores(
      nats=count * (bits_per_event + noise) * np.log(2),
      correct=count * 0.5,
      hidden_bits=np.zeros(len(users)),
      count=count,
      num_events=count,
      users=users,
  )


def rows_of(model_bits, users=USERS):
  baselines = {
      UNIGRAM: scores(7.0, users=users),
      SAME_INFORMATION: scores(2.0, users=users),
      FULL_CONTEXT: scores(1.0, users=users),
  }
  model = scores(model_bits, users=users)
  return table.make_rows({"bert": model}, {"bert": 3}, baselines)


@pytest.mark.parametrize("bits, sign", [(1.5, -1), (2.5, 1)])
def test_wins_and_losses_are_told_against_the_best_fair_baseline(bits, sign):
  row = rows_of(bits)[0]
  gap = row["difference_to_best_baseline"]
  assert gap["baseline"] == SAME_INFORMATION
  assert gap["bits"] == pytest.approx(0.5 * sign, abs=1e-6)
  assert gap["ci"][0] <= gap["bits"] <= gap["ci"][1]
  assert gap["p"] < 0.01
  assert row["seed"] == 3


def test_intervals_hold_the_value():
  for row in rows_of(1.5):
    low, high = row["bits_per_event_ci"]
    assert low < row["bits_per_event"] < high


def test_one_user_has_no_interval_over_users():
  row = rows_of(1.5, users=np.asarray(["only"] * 5))[0]
  assert row["bits_per_event_ci"] is None
  assert row["difference_to_best_baseline"] is None


def result_of(rows):
  return {
      "data": "logs",
      "split": "test",
      "mask_seed": 0,
      "num_masked": 1234,
      "num_events": 8000,
      "num_users": 20,
      "command": "python experiments/evaluate.py",
      "rows": rows,
  }


def test_markdown_has_every_row_and_the_command(tmp_path):
  paths = table.write(result_of(rows_of(1.5)), tmp_path, "evaluation")
  assert json.loads(paths[0].read_text())["rows"][0]["model"] == "bert"
  text = paths[1].read_text()
  for name in ("bert", UNIGRAM, SAME_INFORMATION, FULL_CONTEXT):
    assert f"| {name} |" in text
  assert "python experiments/evaluate.py" in text
  assert "1,234 masked tokens; 8,000 events of" in text
