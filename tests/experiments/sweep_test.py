import json

import polars as pl
import pytest

from behavior_lm.common.lock import held
from behavior_lm.logs.dataset import open_dataset
from tests.experiments import command

FILE = "experiments/ablations/causal_inputs.py"


@pytest.mark.parametrize("args, message", [
    ([], "--sweep is missing"),
    (["--sweep=none.py"], "--sweep none.py: is no Python file"),
    ([f"--sweep={FILE}", "--rows=gpt"], "--rows: no ['gpt']"),
    ([f"--sweep={FILE}", "--seeds=a"], "--seeds 'a'"),
    ([f"--sweep={FILE}"], "--data is missing"),
])
def test_wrong_usage_ends_with_one_line(args, message):
  status, _, error = command.run("sweep", *args)
  assert status == 2 and message in error and "Traceback" not in error


SWEEP = '''"""Which of these learns most?"""

SWEEP = {
    "none": ("objective=next_events,time=none", {}),
    "broken": ("objective=next_events", {"model.num_heads": 3}),
    "bucket": ("objective=next_events,time=bucket", {}),
}
CONTROL = "none"
'''


@pytest.mark.slow
def test_rows_are_trained_once_and_one_that_fails_stops_no_other(tmp_path):
  (tmp_path / "mine.py").write_text(SWEEP)
  out = tmp_path / "out"
  flags = (f"--sweep={tmp_path / 'mine.py'}", "--runlocal", f"--workdir={out}")
  status, text, error = command.run("sweep", *flags)
  assert status == 2 and "1 of 3 runs failed: broken_seed0" in error
  assert "== broken_seed0 failed: config.model: embed_dim" in text
  first = json.loads((out / "table.json").read_text())
  models = [row for row in first["rows"] if row["kind"] == "model"]
  assert [row["model"] for row in models] == ["none", "bucket"]
  assert models[0]["to_control"] is None
  assert models[1]["to_control"]["p_holm"] >= models[1]["to_control"]["p"]
  for ending in (".md", ".tex", ".png", ".pdf"):
    assert (out / f"table{ending}").stat().st_size > 100
  with held(out, "a test"):
    status, _, error = command.run("sweep", *flags)
    assert status == 2 and "is writing it" in error
  # Probes may be asked for later.
  data = out / "data"
  source = open_dataset(data).source("train")
  users = sorted({source[i]["user_id"] for i in range(len(source))})
  table = {"user_id": users, "odd": [i % 2 for i in range(len(users))]}
  pl.DataFrame(table).write_csv(tmp_path / "labels.csv")
  status, text, error = command.run(
      "sweep",
      *flags,
      "--rows=none,bucket",
      f"--probe_data={data}",
      f"--probe_labels={tmp_path / 'labels.csv'}",
  )
  assert status == 0, error
  assert text.count("done already") == 2
  again = json.loads((out / "table.json").read_text())
  for row, before in zip(again["rows"], first["rows"], strict=True):
    assert row["values"] == before["values"]
    if row["kind"] == "model":
      (found,) = row["probes"]
      assert found["label"] == "odd" and found["num_users"] == len(users)
      assert 0 < found["auc_ci"][0] <= found["auc"] <= found["auc_ci"][1] < 1
