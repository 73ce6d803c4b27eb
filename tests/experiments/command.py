"""Runs a command as a person types it."""

import os
from pathlib import Path
import subprocess
import sys

_REPO = Path(__file__).parents[2]


def run(name, *flags):
  """Exit status, standard output and error of experiments/NAME.py."""
  # This checkout's modules, even where another one is installed.
  env = os.environ | {"PYTHONPATH": str(_REPO), "COLUMNS": "120"}
  result = subprocess.run(
      [sys.executable, str(_REPO / "experiments" / f"{name}.py"), *flags],
      capture_output=True,
      text=True,
      env=env,
      cwd=_REPO,
      timeout=300,
  )
  return result.returncode, result.stdout, result.stderr
