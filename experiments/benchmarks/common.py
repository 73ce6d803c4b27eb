"""What the benchmarks share: flags, checks, and results kept row by row.

A flag is defined by a function, since only the benchmark that reads it may
have it: absl then refuses it for the others.
"""

from collections.abc import Callable, Sequence
import json
import os
from pathlib import Path
import platform
import shlex
import sys
from typing import Any

from absl import flags

from behavior_lm.artifacts.commands import code_version
from behavior_lm.artifacts.commands import without_folders
from behavior_lm.common.errors import UserError
from behavior_lm.common.resumable import differences
from experiments.benchmarks.race.encoder_report import merge
from experiments.studies.results import write_result

REPO = Path(__file__).resolve().parents[2]
Row = dict[str, Any]


def define_out(default: str) -> flags.FlagHolder:
  return flags.DEFINE_string(
      "out", "", f"Results, a .json with a .md beside it. Default: {default}."
  )


def define_repeats() -> flags.FlagHolder:
  return flags.DEFINE_integer(
      "repeats", 9, "Steps measured; the result is their median."
  )


def define_models() -> flags.FlagHolder:
  return flags.DEFINE_list("models", [], "Models to measure; empty: all.")


def define_lengths() -> flags.FlagHolder:
  return flags.DEFINE_list(
      "lengths", [], "Tokens per row; empty: each model's own."
  )


def define_runlocal() -> flags.FlagHolder:
  return flags.DEFINE_bool(
      "runlocal", False, "Sizes of a second, to see that it works."
  )


def define_peers() -> flags.FlagHolder:
  return flags.DEFINE_list(
      "peers", ["transformers"], "What to measure too; empty: ours alone."
  )


def define_peers_python() -> flags.FlagHolder:
  return flags.DEFINE_string(
      "peers_python",
      str(REPO / ".venv-peers" / "bin" / "python"),
      "The Python that runs the programs of peers/; `make peers` makes it.",
  )


def integers(flag: flags.FlagHolder) -> list[int]:
  """The whole numbers of a list flag; UserError if one is below 1."""
  if not all(text.isdecimal() and int(text) > 0 for text in flag.value):
    raise UserError(
        f"--{flag.name}={','.join(flag.value)}: whole numbers from 1 by comma,"
        " please."
    )
  return [int(text) for text in flag.value]


def check_repeats(repeats: int) -> None:
  if repeats < 1:
    raise UserError(f"--repeats {repeats} must be 1 or more.")


def check_peers(python: str) -> None:
  """Raises UserError if the Python of the peers is not installed."""
  if not Path(python).exists():
    raise UserError(
        f"--peers_python {python}: does not exist. Run `make peers`, or pass"
        " --peers= to measure ours alone."
    )


def peer_command(python: str, name: str) -> list[str]:
  """The command of a program of peers/."""
  return [python, str(REPO / "peers" / f"{name}.py")]


def chosen_peer(
    peers: Sequence[str], python: str, name: str
) -> list[str] | None:
  """The command of the program that is measured too; None if none is.

  Raises:
    UserError: if the Python of the peers is not installed.
  """
  if not peers:
    return None
  check_peers(python)
  return peer_command(python, name)


def command(word: str) -> str:
  """The running command as results record it."""
  script = ["python", "experiments/benchmark.py", word]
  return without_folders(shlex.join([*script, *sys.argv[1:]]))


def made(word: str) -> dict[str, str]:
  """What makes rows; called before the first one is measured."""
  return {"command": command(word), "commit": code_version(REPO)}


def machine() -> dict[str, Any]:
  return {"cores": os.cpu_count(), "kind": platform.machine()}


def result_path(word: str, out: str, runlocal: bool) -> Path:
  """The .json of the results, by default where the published ones are.

  Raises:
    UserError: if `out` has another ending.
  """
  # Tiny cases never come among the results that are published.
  folder = "runs/benchmark" if runlocal else "experiments/results"
  path = Path(out or REPO / folder / f"{word}.json")
  if path.suffix != ".json":
    raise UserError(f"--out {path}: must end in .json; a .md comes beside it.")
  return path


def older_rows(path: Path) -> Sequence[Row]:
  """The rows of a result that is there, all of this machine.

  Raises:
    UserError: if they are of another machine.
  """
  if not path.is_file():
    return []
  old = json.loads(path.read_text())
  if different := differences(old["machine"], machine()):
    raise UserError(
        f"{path}: holds rows of another machine: {different}. One page cannot"
        " tell them apart: use another --out, or move that file away."
    )
  return old["rows"]


def add_row(
    path: Path,
    row: Row,
    page: Callable[[dict[str, Any]], str],
    **facts: str,
) -> list[Row]:
  """Adds a row to a result, or replaces the older one of its case.

  Args:
    path: the .json; it may hold rows of this machine, see `older_rows`.
    row: what was measured, with what `made` it.
    page: makes the Markdown of the whole result.
    **facts: what else the result says.

  Returns:
    All rows.
  """
  rows = [dict(one) for one in merge(older_rows(path), [row])]
  result = {"machine": machine(), "rows": rows, **facts}
  write_result(path.with_suffix(""), result, page(result))
  return rows
