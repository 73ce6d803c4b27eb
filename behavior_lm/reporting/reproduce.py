"""The command lines that make a run again."""

from collections.abc import Mapping
import json
from pathlib import PurePath
import shlex
from typing import Any

_PREPARE = "python experiments/prepare.py"
_PRETRAIN = "python experiments/pretrain.py"


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """{"model": {"name": "bert"}} -> {"model.name": "bert"}."""
  out: dict[str, Any] = {}
  for key, value in config.items():
    if isinstance(value, Mapping):
      out |= flat(value, f"{prefix}{key}.")
    else:
      out[prefix + key] = value
  return out


def shown(value: Any) -> str:
  """A value of a config; of a path, its last part alone.

  Reports are passed around; where somebody keeps files is nobody's business.
  """
  if isinstance(value, str):
    path = PurePath(value)
    return path.name if path.is_absolute() else value
  return json.dumps(value)


def prepare_command(meta: Mapping[str, Any]) -> str:
  """The command behind a dataset.json; DATA is its folder.

  Raises:
    KeyError, TypeError, AttributeError: if it is none.
  """
  names = [str(source["name"]) for source in meta["sources"]]
  words = ["--logs", names[0] if len(names) == 1 else "LOGS", "--out", "DATA"]
  if meta["split_time"]:
    words += ["--split_time", str(meta["split_time"])]
  if meta["unit"] != "user_day":
    words += ["--unit", str(meta["unit"])]
  if meta["timezone"] != "UTC":
    words += ["--timezone", str(meta["timezone"])]
  if meta["user_fraction"]:
    words += ["--user_fraction", str(meta["user_fraction"])]
    words += ["--seed", str(meta.get("seed", 0))]
  renamed = [
      f"{ours}={theirs}"
      for ours, theirs in meta["columns"].items()
      if theirs and ours != theirs
  ]
  if renamed:
    words += ["--columns", ",".join(renamed)]
  if meta.get("drop_duplicates"):
    words.append("--drop_duplicates")
  return _shell(_PREPARE, words)


def pretrain_command(
    config: Mapping[str, Any],
    run_name: str,
    programs: Mapping[str, Mapping[str, Any]],
) -> str:
  """The command behind a config.json.

  Args:
    config: of the run.
    run_name: of its folder.
    programs: what a value of --config gives, {"configs/x.py:size=small": {}}.
      The one with the fewest differences to `config` is taken; the others'
      differences become flags.
  """
  ours = flat(config) | {"data.path": "DATA"}

  def differences(program: Mapping[str, Any]) -> dict[str, Any]:
    theirs = flat(program)
    return {
        key: value
        for key, value in sorted(ours.items())
        if key not in theirs or theirs[key] != value
    }

  best = min(programs, key=lambda name: len(differences(programs[name])))
  words = ["--workdir", f"runs/{run_name}", "--config", best]
  for key, value in differences(programs[best]).items():
    words.append(f"--config.{key}={shown(value)}")
  return _shell(_PRETRAIN, words)


def _shell(program: str, words: list[str]) -> str:
  """One flag a line, quoted where a shell would read more into it."""
  lines = [program]
  for word in words:
    if word.startswith("--"):
      lines.append(f"    {shlex.quote(word)}")
    else:
      lines[-1] += f" {shlex.quote(word)}"
  return " \\\n".join(lines)
