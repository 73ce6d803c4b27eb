"""The command: its words, and a small run."""

import functools
import json

import pytest

from tests.experiments import command
from tests.peers import peers_python

run = functools.partial(command.run, "studies/parity/run")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--models=gpt"], "--models gpt: known are bert"),
        (["--lengths=5,x"], "--lengths 5,x: whole numbers"),
        (["--seed=1"], "--seed=1: peers/reformer_outputs.py has seeds of its"),
        (["--peers_python=/no/python"], "--peers_python /no/python"),
    ],
)
def test_bad_usage_ends_with_one_line(args, message):
  status, text, error = run(*args)
  assert (status, text) == (2, "")
  assert error.startswith(f"error: {message}") and error.count("\n") == 1


@pytest.mark.slow
def test_a_small_run_writes_figures_and_a_page(tmp_path):
  peers_python()
  out = tmp_path / "parity.json"
  flags = ["--models=albert", "--lengths=9", "--seed=3", f"--out={out}"]
  status, text, error = run(*flags)
  assert status == 0, error
  # Rows of other models stay, the old ones of this model do not.
  old = json.loads(out.read_text())
  other = {"model": "bert", "compared": "kept", "length": None, "weights": 0.0}
  out.write_text(json.dumps(old | {"rows": [other, *old["rows"]]}))
  status, text, error = run(*flags)
  assert status == 0, error
  assert json.loads(out.read_text())["rows"] == [other, *old["rows"]]
  assert text.startswith("albert: hidden states differ by ")
  result = json.loads(out.read_text())
  assert result["seed"] == 3 and "torch" in result["versions"]
  assert result["command"].endswith("--lengths=9 --seed=3")
  assert str(tmp_path) not in (tmp_path / "parity.md").read_text()
  exact = [r for r in result["rows"] if r["compared"] == "float32 to float32"]
  assert [row["length"] for row in exact] == [9]
  assert exact[0]["hidden"] < 1e-4
