import random

import pytest

from experiments.studies.faults import fault_study as study
from tests.experiments import command


@pytest.mark.slow
def test_a_hit_command_is_compared_with_one_that_nothing_hit(tmp_path):
  """With a command that loses what it had, the study says so."""
  (prepare,) = (one for one in study.COMMANDS if one.name == "prepare")
  inputs = tmp_path / "inputs"
  inputs.mkdir()
  flags = [f"--out={inputs}/logs.csv", "--num_users=4", "--num_days=8"]
  status, _, error = command.run("generate", *flags)
  assert status == 0, error
  want, seconds = study.reference(prepare, inputs, tmp_path)
  assert "examples" in want
  hit = lambda want: study.hit(
      prepare, study.KILL, inputs, tmp_path, want, seconds, random.Random(1)
  )
  found = hit(want)
  assert not found.lost and not found.wrong
  assert hit(want | {"examples": "others"}).wrong == ["examples"]


def test_the_table_counts_by_command_and_fault():
  one = dict(
      command="embed", fault="SIGTERM", moment="", hit=True, lost="", wrong=[],
      traceback=False,
  )
  page = study.to_markdown({
      "outcomes": [one, one | {"wrong": ["v.parquet"], "hit": False}],
      "command": "python run.py",
  })
  assert "| embed | SIGTERM | 2 | 1 | 0 | 1 | 0 |" in page
  assert "| all |  | 2 | 1 | 0 | 1 | 0 |" in page


@pytest.mark.parametrize("flags, message", [
    ([], "--work is missing"),
    (["--work=/", "--commands=dance"], "--work /: is not empty"),
])
def test_wrong_usage_ends_with_one_line(flags, message):
  status, _, error = command.run("studies/faults/run", *flags)
  assert status == 2 and message in error and "Traceback" not in error
