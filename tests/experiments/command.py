"""Runs a command as a person types it."""

import os
from pathlib import Path
import subprocess
import sys

_REPO = Path(__file__).parents[2]


def run(name, *flags):
  """Exit status, standard output and error of experiments/NAME.py."""
  # As in a new shell: nothing says where our own modules are.
  env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
  result = subprocess.run(
      [sys.executable, str(_REPO / "experiments" / f"{name}.py"), *flags],
      capture_output=True,
      text=True,
      env=env | {"COLUMNS": "120"},
      cwd=_REPO,
      timeout=300,
  )
  return result.returncode, result.stdout, result.stderr
