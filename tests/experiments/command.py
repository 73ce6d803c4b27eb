"""Runs a command as a person types it."""

from tests import command_server


def run(name, *flags):
  """Exit status, standard output and error of experiments/NAME.py."""
  done = command_server.run(f"experiments/{name}.py", *flags)
  return done.returncode, done.stdout, done.stderr
