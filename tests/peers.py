"""The environment of `make peers`, for tests that compare us with originals."""

import os
from pathlib import Path
import subprocess

import pytest

REPO = Path(__file__).resolve().parents[1]
PYTHON = REPO / ".venv-peers" / "bin" / "python"


def peers_python() -> Path:
  """Python with torch and transformers; without it the test is skipped."""
  if not PYTHON.exists():
    pytest.skip("no .venv-peers: `make peers` makes it")
  return PYTHON


def run_peer(program: str, *args: object) -> str:
  """Runs peers/PROGRAM.py there and returns what it printed.

  Raises:
    AssertionError: with its last words, if it failed.
  """
  done = subprocess.run(
      [str(peers_python()), str(REPO / "peers" / f"{program}.py")]
      + [str(arg) for arg in args],
      capture_output=True,
      text=True,
      cwd=REPO,
      # Nothing is ever fetched, and our own package stays out of its way.
      env={
          name: value
          for name, value in os.environ.items()
          if name != "PYTHONPATH"
      }
      | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"},
      timeout=300,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  return done.stdout
