"""The command that measures padding."""

import json

import pytest

from experiments.studies.packing import packing_study
from tests import command_server
from tests.logs.support import log_files


def run(folder, *arguments):
  return command_server.run(
      "experiments/studies/packing/run.py", *arguments, cwd=folder
  )


@pytest.mark.slow
def test_it_writes_tables_and_figures_of_both_sets_of_lengths(tmp_path):
  rows = [
      (f"user{n % 7}", f"e{n % 3}", None, 20.0 * n) for n in range(1_000)
  ]
  log_files.event_frame(rows).write_parquet(tmp_path / "log.parquet")
  log_files.prepare(tmp_path / "log.parquet", tmp_path / "logs")
  done = run(
      tmp_path, "--data=logs", "--capacities=32,128", "--num_lengths=300",
      "--mean=50", "--out=found", "--seed=3",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  result = json.loads((tmp_path / "found.json").read_text())
  assert result["seed"] == 3 and "--capacities=32,128" in result["command"]
  drawn, events = result["lengths"]
  assert drawn["sequences"] == 300 and events["sequences"] == 7
  assert events["name"] == "logs, pair tokens"
  assert events["mean"] == pytest.approx(1_000 / 7)
  page = (tmp_path / "found.md").read_text()
  for part in (drawn, events):
    assert len(part["rows"]) == 2 * len(packing_study.METHODS)
    assert f"## {part['name']}" in page
    picture = (tmp_path / part["figure"]).read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000
  share = events["rows"][0]["padding_share"]
  assert f"| a row each | {100 * share:.2f} % |" in page
  assert done.stdout.endswith(
      "written: found.json, found.md, found_log_normal.png, found_events.png\n"
  )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--out=no/where"], "error: --out no/where: there is no folder no.\n"),
        (["--out=x", "--capacities=1"], "error: --capacities: '1' is not a"),
        (["--out=x", "--capacities=big"], "error: --capacities: 'big' is not"),
        (["--out=x", "--tokenizer=t"], "error: --tokenizer needs the seq"),
        (["--out=x", "--data=none"], "error: none: no such dataset folder."),
        (["--out=x", "--mean=0"], "error: 10000 lengths of mean 0.0"),
    ],
)
def test_it_ends_with_one_clear_line(tmp_path, arguments, says):
  done = run(tmp_path, *arguments)
  assert done.returncode == 2
  assert done.stderr.startswith(says) and done.stderr.count("\n") == 1
