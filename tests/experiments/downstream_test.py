"""The downstream command, as a person types it."""

import functools
import json

import pytest

from tests.downstream import tiny_task
from tests.experiments import command

run = functools.partial(command.run, "downstream")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("downstream_command")
  for name in ("train", "test"):
    (path / name).mkdir()
    tiny_task.write(path / name, 20, prefix=name)
  return path


@pytest.mark.slow
def test_train_and_test_files_make_a_table_that_goes_on(folder):
  flags = [
      "--task=bot", "--seeds=0", "--rows=event counts, logistic",
      f"--out={folder / 'out'}",
      *(
          f"--{side}_{what}={folder / side / file}"
          for side in ("train", "test")
          for what, file in (("logs", "log.csv"), ("labels", "labels.csv"))
      ),
  ]  # fmt: skip
  status, out, error = run(*flags)
  assert status == 0, error
  result = json.loads((folder / "out" / "results.json").read_text())
  (row,) = result["rows"]
  assert row["name"] == "event counts, logistic"
  assert row["metrics"]["auc"][0] > 0.8
  assert result["split"] == "files"
  assert "| event counts, logistic |" in out
  assert "--task=bot" in result["command"]
  status, _, error = run(*flags)
  assert status == 0, error
  again = json.loads((folder / "out" / "results.json").read_text())
  # Equal to the second that the fit took: it was read, not repeated.
  assert again["rows"] == result["rows"]


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--out=x"], "--task is missing"),
        (["--task=cheat", "--out=x"], "--task 'cheat'; choose one of"),
        (["--task=bot", "--out=x"], "--logs and --labels are both needed"),
    ],
)
def test_bad_usage_ends_with_one_line(flags, message):
  status, _, error = run(*flags)
  assert status == 2
  assert message in error
  assert len(error.strip().splitlines()) == 1
