"""The run folder: config, tokenizer, copies of what describes the data."""

import hashlib
import json
from pathlib import Path
import shutil
from typing import Any

import ml_collections

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes.pretrain import build_tokenizer

CONFIG = "config.json"
# What may differ when a run goes on: how it is watched, not what it computes.
WATCHING = (
    "log_every",
    "checkpoint_every",
    "checkpoints_to_keep",
    "max_minutes",
    "eval",
    "data.prefetch",
    "data.path",
    "mesh",
)


def config_hash(config: ml_collections.ConfigDict) -> str:
  """Twelve hex digits over everything a run computes from."""
  flat = {k: v for k, v in _flat(config.to_dict()).items() if _computes(k)}
  text = json.dumps(flat, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_config(folder: str | Path) -> ml_collections.ConfigDict:
  """The config of a run folder."""
  path = Path(folder) / CONFIG
  try:
    return ml_collections.ConfigDict(json.loads(path.read_text()))
  except FileNotFoundError:
    raise UserError(
        f"{folder}: no {CONFIG}, so no run folder of experiments/pretrain.py."
    ) from None
  except json.JSONDecodeError as error:
    raise UserError(f"{path}: not readable as JSON ({error}).") from error


def as_saved(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """What `load_config` would give of it: JSON makes a list of a tuple."""
  saved: dict[str, Any] = json.loads(_to_json(config.to_dict()))
  return saved


def open_run(
    config: ml_collections.ConfigDict,
    workdir: str | Path,
    dataset: Dataset,
) -> Any:
  """Makes the run folder, or checks that an existing one is this run's.

  Returns:
    The tokenizer of the run.

  Raises:
    UserError: if the folder belongs to a run of another config or dataset.
  """
  folder = Path(workdir)
  if folder.exists() and not folder.is_dir():
    raise UserError(f"{folder} is a file; give a folder as --workdir.")
  if (folder / CONFIG).exists():
    _check_same(config, load_config(folder), folder)
    if not (folder / "dataset.json").exists():
      raise UserError(
          f"{folder} has no dataset.json: it was made of an exported model, and"
          " such a run does not go on. Start a new one from it, with another"
          f" --workdir and --config.init_from={folder}."
      )
    meta = json.loads((folder / "dataset.json").read_text())
    if meta["fingerprint"] != dataset.meta["fingerprint"]:
      raise UserError(
          f"{folder} was trained on another dataset than {config.data.path}"
          " (their fingerprints differ). Use a new --workdir, or the dataset"
          " of that run."
      )
    return load_tokenizer(folder / "tokenizer")
  if folder.exists() and any(folder.iterdir()):
    raise UserError(
        f"{folder} is not empty and not a run folder; give a new --workdir."
    )
  folder.mkdir(parents=True, exist_ok=True)
  tokenizer = build_tokenizer(config, dataset)
  tokenizer.save(folder / "tokenizer")
  write_whole(folder / "dataset.json", _to_json(dataset.meta))
  report = Path(config.data.path) / "report.json"
  if report.exists():
    shutil.copyfile(report, folder / "data_report.json")
  # Last: a folder with a config is a complete one.
  write_whole(folder / CONFIG, _to_json(config.to_dict()))
  return tokenizer


def _check_same(
    config: ml_collections.ConfigDict,
    old: ml_collections.ConfigDict,
    folder: Path,
) -> None:
  new_values, old_values = _flat(as_saved(config)), _flat(old.to_dict())
  different = [
      f"{key} ({old_values.get(key)!r} there, {new_values.get(key)!r} now)"
      for key in sorted(new_values.keys() | old_values.keys())
      if _computes(key) and new_values.get(key) != old_values.get(key)
  ]
  if different:
    raise UserError(
        f"{folder} holds a run of another config: {', '.join(different)}."
        " Use a new --workdir, or the old values to go on with that run."
    )


def _computes(key: str) -> bool:
  return not any(key == w or key.startswith(w + ".") for w in WATCHING)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  out: dict[str, Any] = {}
  for key, value in tree.items():
    if isinstance(value, dict):
      out |= _flat(value, f"{prefix}{key}.")
    else:
      out[prefix + key] = value
  return out


def _to_json(content: Any) -> str:
  return json.dumps(content, indent=1, default=str) + "\n"
