"""The run folder: the config and the command that made it.

config.json is written last: a folder that has it is a complete one. A recipe
adds what inference needs (tokenizer, item vocabulary), the loop adds
checkpoints, metrics.jsonl, tensorboard/ and train.log.
"""

from collections.abc import Callable
import hashlib
import json
import os
from pathlib import Path
import shutil
from typing import Any

import ml_collections

from behavior_lm.artifacts import json_files
from behavior_lm.artifacts.commands import this_command
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.common.lock import LOCK

CONFIG = "config.json"
RUN = "run.json"
# Goes up whenever an older folder cannot be read any more.
LAYOUT = 2
# Where a new run is written before its parts are moved to their places.
_BUILDING = ".building"
# These keys may differ when a run is resumed: they say how it is watched, not
# what it computes.
WATCHING = (
    "log_every",
    "checkpoint_every",
    "checkpoints_to_keep",
    "max_minutes",
    "max_skipped",
    "evals",
    "keep_best",
    "patience",
    "data.prefetch",
    "data.path",
    "mesh",
)


def config_hash(config: ml_collections.ConfigDict) -> str:
  """Twelve hex digits over everything that a run computes from."""
  flat = {k: v for k, v in flatten(config.to_dict()).items() if _computes(k)}
  text = json.dumps(flat, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_config(folder: str | Path) -> ml_collections.ConfigDict:
  """The config of a folder.

  Raises:
    UserError: if it has none.
  """
  path = Path(folder) / CONFIG
  if not path.exists():
    raise UserError(
        f"{folder}: no {CONFIG}, so this is no run folder of"
        " experiments/train.py."
    )
  with json_files.damage_named(str(path)):
    return ml_collections.ConfigDict(json_files.read_object(path))


def load_run_config(folder: str | Path) -> ml_collections.ConfigDict:
  """The config of a run folder, whose layout is checked first.

  Raises:
    UserError: if it is no run folder, or one of an older version.
  """
  config = load_config(folder)
  try:
    layout = json.loads((Path(folder) / RUN).read_text())["layout"]
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    layout = 1
  if layout != LAYOUT:
    raise UserError(
        f"{folder}: is a run folder of layout {layout}, this version reads"
        f" {LAYOUT}. Train it again with experiments/train.py."
    )
  return config


def as_saved(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """The values that `load_config` would give: JSON makes a list of a tuple."""
  saved: dict[str, Any] = json.loads(_to_json(config.to_dict()))
  return saved


def is_run(folder: str | Path) -> bool:
  """Whether there is a run to go on with, or to be refused."""
  return (Path(folder) / CONFIG).exists()


def check_free(folder: str | Path) -> None:
  """Raises UserError unless a new run may be made in `folder`."""
  folder = Path(folder)
  if folder.exists() and not folder.is_dir():
    raise UserError(f"{folder} is a file; give a folder as --workdir.")
  # What a run that was killed while it was made left behind may go.
  begun = (folder / _BUILDING).is_dir()
  names = {path.name for path in folder.iterdir()} if folder.exists() else set()
  if names - {LOCK} and not begun:
    raise UserError(
        f"{folder} is not empty and not a run folder; give a new --workdir."
    )


def check_same(config: ml_collections.ConfigDict, folder: str | Path) -> None:
  """Raises UserError if `folder` holds a run of another config."""
  old = load_run_config(folder)
  new_values, old_values = flatten(as_saved(config)), flatten(old.to_dict())
  different = [
      f"{key} ({old_values.get(key)!r} there, {new_values.get(key)!r} now)"
      for key in sorted(new_values.keys() | old_values.keys())
      if _computes(key) and new_values.get(key) != old_values.get(key)
  ]
  if not different:
    return
  advice = " Use a new --workdir, or the old values to resume that run."
  if [key.split(" ")[0] for key in different] == ["total_steps"]:
    advice = (
        " The learning rate follows total_steps, so a run cannot grow: start a"
        " new one in another --workdir from its parameters, with"
        f" --config.init_from.encoder={folder} and the like."
    )
  raise UserError(
      f"{folder} holds a run of another config: {', '.join(different)}.{advice}"
  )


def create_run(
    config: ml_collections.ConfigDict,
    folder: str | Path,
    save: Callable[[Path], None],
    **record: Any,
) -> None:
  """Makes a run folder.

  Args:
    config: of the run.
    folder: absent or empty.
    save: writes what belongs to the recipe.
    **record: further entries of run.json.
  """
  folder = Path(folder)
  building = folder / _BUILDING
  shutil.rmtree(building, ignore_errors=True)
  building.mkdir(parents=True)
  about = {"layout": LAYOUT, "recipe": config.recipe, "command": this_command()}
  try:
    save(building)
    write_whole(building / RUN, _to_json(about | record))
    write_whole(building / CONFIG, _to_json(config.to_dict()))
  except BaseException:
    shutil.rmtree(building, ignore_errors=True)
    raise
  # config.json is the last one: with it the folder is a run.
  for part in sorted(building.iterdir(), key=lambda path: path.name == CONFIG):
    place = folder / part.name
    if place.is_dir():
      shutil.rmtree(place)
    os.replace(part, place)
  building.rmdir()


def _computes(key: str) -> bool:
  return not any(key == w or key.startswith(w + ".") for w in WATCHING)


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  """{"model": {"name": "bert"}} -> {"model.name": "bert"}."""
  out: dict[str, Any] = {}
  for key, value in tree.items():
    if isinstance(value, dict):
      out |= flatten(value, f"{prefix}{key}.")
    else:
      out[prefix + key] = value
  return out


def _to_json(content: Any) -> str:
  return json.dumps(content, indent=1, default=str) + "\n"
