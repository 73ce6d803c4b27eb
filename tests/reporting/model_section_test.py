"""Tests for the config and the commands on the page."""

import pytest

from behavior_lm.reporting import model_section
from behavior_lm.reporting.run import read_run
from tests.reporting import example_run


def test_recorded_commands_are_shown_without_folders(tmp_path):
  run = read_run(example_run.write_run(tmp_path / "gate"))
  body = model_section.commands_section(run, "python report.py").body
  for name in ("prepare", "train", "evaluate", "probe"):
    assert f"python experiments/{name}.py" in body
  assert "somebody" not in body
  assert "--out=runs/logs_2019" in body


def test_commands_that_were_not_recorded_are_not_guessed(tmp_path):
  run = read_run(example_run.write_bare_run(tmp_path / "new"))
  body = model_section.commands_section(run, "python report.py").body
  assert body.count("python") == 1


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("/home/somebody/data/logs", "logs"),
        ("gate", "gate"),
        (0.002, "0.002"),
        (None, "null"),
        ([1, 2], "[1, 2]"),
    ],
)
def test_where_files_lie_is_not_shown(value, want):
  assert model_section.shown(value) == want
