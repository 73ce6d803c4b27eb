"""Runs a command as a person types it."""

import os

from tests import command_server


def run(name, *flags):
  """Exit status, standard output and error of experiments/NAME.py."""
  # This checkout's modules, even where another one is installed.
  env = os.environ | {"PYTHONPATH": str(command_server.REPO), "COLUMNS": "120"}
  done = command_server.run(f"experiments/{name}.py", *flags, env=env)
  return done.returncode, done.stdout, done.stderr
