"""A process that finds nothing of this checkout: what exports must run in."""

import os
import subprocess
import sys


def run_bare(program, *arguments, cwd):
  """Runs a program without PYTHONPATH; AssertionError if it fails."""
  env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
  done = subprocess.run(
      [sys.executable, "-c", program, *map(str, arguments)],
      cwd=cwd,
      env=env,
      capture_output=True,
      text=True,
      timeout=300,
  )
  assert done.returncode == 0, done.stderr[-2000:]
