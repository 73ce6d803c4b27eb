import json

import pytest

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


@pytest.mark.slow
def test_rows_are_trained_once_and_compared(tmp_path):
  flags = [f"--sweep={FILE}", "--runlocal", f"--workdir={tmp_path}"]
  status, _, error = command.run("sweep", *flags, "--rows=none,bucket")
  assert status == 0, error
  first = json.loads((tmp_path / "table.json").read_text())
  models = [row for row in first["rows"] if row["kind"] == "model"]
  assert [row["model"] for row in models] == ["none", "bucket"]
  assert models[0]["to_control"] is None
  assert models[1]["to_control"]["p_holm"] >= models[1]["to_control"]["p"]
  for ending in (".md", ".tex", ".png", ".pdf"):
    assert (tmp_path / f"table{ending}").stat().st_size > 100
  status, text, error = command.run("sweep", *flags, "--rows=none,bucket")
  assert status == 0, error
  assert text.count("done already") == 2
  assert json.loads((tmp_path / "table.json").read_text()) == first
