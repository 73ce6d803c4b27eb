"""A demo that is stopped continues with the first command that is not done."""

from pathlib import Path
import subprocess
import sys

import pytest

REPO = Path(__file__).resolve().parents[2]

# Runs two commands; each one adds its name and flag to a file.
_DEMO = """
import sys
from pathlib import Path
from behavior_lm.common.errors import UserError
from experiments.demo import Stages
folder = Path(sys.argv[1])
stages = Stages(folder, str(folder))
stages.run("first", sys.argv[2])
stages.run("second", "b")
"""
_COMMAND = """
import pathlib, sys
here = pathlib.Path(__file__)
with (here.parent / "ran").open("a") as file:
  file.write(here.stem + sys.argv[1] + " ")
sys.exit((here.parent / "broken").exists() and here.stem == "second")
"""


def demo(folder, flag):
  """The exit status, and which commands were run."""
  (folder / "ran").write_text("")
  done = subprocess.run(
      [sys.executable, "-c", _DEMO, str(folder), flag],
      cwd=REPO,
      capture_output=True,
  )
  return done.returncode, (folder / "ran").read_text().split()


@pytest.mark.slow
def test_what_is_done_with_the_same_flags_is_not_repeated(tmp_path):
  for name in ("first", "second"):
    (tmp_path / f"{name}.py").write_text(_COMMAND)
  (tmp_path / "broken").touch()
  assert demo(tmp_path, "a") == (1, ["firsta", "secondb"])
  (tmp_path / "broken").unlink()
  assert demo(tmp_path, "a") == (0, ["secondb"])
  assert demo(tmp_path, "a") == (0, [])
  # What follows a command with other flags is repeated, even if it failed.
  (tmp_path / "broken").touch()
  assert demo(tmp_path, "c") == (1, ["firstc", "secondb"])
  (tmp_path / "broken").unlink()
  assert demo(tmp_path, "c") == (0, ["secondb"])
  assert demo(tmp_path, "c") == (0, [])
