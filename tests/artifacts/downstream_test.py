"""The downstream record is written as JSON and Markdown, and read back."""

import json

import pytest

from behavior_lm.artifacts import downstream
from behavior_lm.common.errors import UserError


def record():
  metrics = {"auc": [0.87, 0.85, 0.89], "f1": [0.81, 0.79, 0.83]}
  row = {
      "name": "event counts, forest", "group": "baseline", "metrics": metrics,
      "difference": None, "p": None, "seconds": 1.0,
      "calibration": [{"rows": 5, "predicted": 0.25, "observed": 0.2}],
  }  # fmt: skip
  other = row | {
      "name": "nothing, prior", "difference": [-0.37, -0.4, -0.3], "p": 0.002,
      "metrics": metrics | {"auc": [0.5, 0.5, 0.5]},
  }
  return {
      "task": "bot", "label": "bot", "kind": "binary", "data": "bot_train",
      "main": "auc", "metrics": ["auc", "f1"], "rows": [row, other],
      "best_baseline": row["name"],
      "curve": [{"size": 64, "name": row["name"], "metrics": metrics}],
      "suspicions": ["the date alone has AUC 0.780"], "notes": ["a note"],
      "num_rows": 1600, "num_users": 1600, "split": "user", "folds": 5,
      "seeds": [0, 1, 2], "config_hash": "abc", "run": "gate",
      "command": "python experiments/downstream.py --task bot",
  }  # fmt: skip


def test_the_table_tells_what_the_record_holds(tmp_path):
  path, table = downstream.write_downstream(tmp_path / "out", record())
  assert downstream.read_downstream(path) == record()
  text = table.read_text()
  for part in (
      "0.870 (0.850 to 0.890) | 0.810", "-0.370 (-0.400 to -0.300) | 0.002",
      "64: event counts, forest", "the date alone has AUC 0.780", "a note",
      "run: gate", "5 folds, seeds 0, 1, 2", "0.250 | 0.200 | 5",
      "python experiments/downstream.py --task bot",
  ):  # fmt: skip
    assert part in text, part


def test_a_damaged_record_is_named(tmp_path):
  damaged = record()
  del damaged["best_baseline"]
  path = tmp_path / "results.json"
  path.write_text(json.dumps(damaged))
  with pytest.raises(UserError, match="has no 'best_baseline'"):
    downstream.read_downstream(path)
