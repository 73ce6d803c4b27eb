"""The command line that made a result, and the version of the code."""

from pathlib import Path
import re
import shlex
import subprocess
import sys


def without_folders(command: str) -> str:
  """A recorded command with absolute paths cut to their last parts."""

  def last_part(match: re.Match[str]) -> str:
    _, found, script = match[0].rpartition("/experiments/")
    return f"experiments/{script}" if found else match[0].rpartition("/")[2]

  return re.sub(r"(?<![^\s=,'\"])/[^\s,'\"]+", last_part, command)


def this_command() -> str:
  """The running command as results record it: without absolute paths."""
  return without_folders("python " + shlex.join(sys.argv))


def code_version(checkout: Path) -> str:
  """The commit of the code that runs; empty if unknown.

  With a + if the code was changed since. What results hold is no code: it
  changes while they are measured.
  """
  git = ["git", "-C", str(checkout)]
  code = [":/", ":(exclude,top)experiments/results"]
  try:
    told = subprocess.run(
        [*git, "describe", "--always"],
        capture_output=True,
        text=True,
        check=True,
    )
    changed = subprocess.run(
        [*git, "diff", "--quiet", "HEAD", "--", *code], check=False
    )
  except (OSError, subprocess.CalledProcessError):
    return ""
  return told.stdout.strip() + "+" * (changed.returncode != 0)
