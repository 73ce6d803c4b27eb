"""Reads a dataset folder that experiments/prepare.py wrote."""

import functools
import json
import os
import pathlib
import re
import shlex
from typing import Any

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import integrity
from behavior_lm.logs import schema
from behavior_lm.logs.event_source import EventSource
from behavior_lm.logs.integrity import AGAIN
from behavior_lm.logs.readers import columns

META_FILE = "dataset.json"
PAIRS_FILE = "pairs.parquet"
SEQUENCES_FILE = "sequences.parquet"
QUARANTINE_FILE = "quarantine.jsonl"
REPORT_FILE = "report.json"
TFDS_FOLDER = "tfds"
CATEGORIES_FOLDER = "categories"
# A folder of this name is still being written.
BUILDING = re.compile(r"\.building(-\d+)?$")
# Flags of experiments/prepare.py that dataset.json tells, and their defaults.
_FLAGS: dict[str, Any] = {
    "unit": "user_day", "split_time": None, "valid_time": None,
    "user_fraction": 0.0, "valid_fraction": 0.0, "leave_one_out": False,
    "seed": 0, "timezone": "UTC", "drop_duplicates": False,
}  # fmt: skip
# Read whole, and early: checked byte for byte as soon as a dataset is opened.
_CHECKED_AT_OPENING = (".json", ".md")


class Dataset:
  """A dataset folder.

  Attributes:
    path: the folder.
    meta: the content of dataset.json.
  """

  def __init__(self, path: pathlib.Path, meta: dict[str, Any]):
    self.path = path
    self.meta = meta
    self._checked: set[str] = set()

  @property
  def splits(self) -> list[str]:
    return list(self.meta["splits"])

  @property
  def extras(self) -> dict[str, schema.Extra]:
    """The extra columns by name, in the order in which they were declared."""
    return {
        name: _extra(found) for name, found in self.meta["extras"].items()
    }

  @functools.cached_property
  def pairs(self) -> pl.DataFrame:
    """event_id, design_id, train_count; the row number is the pair code."""
    self._check_file(PAIRS_FILE)
    return pl.read_parquet(self.path / PAIRS_FILE)

  def categories(self, name: str) -> pl.DataFrame:
    """code, value, train_count of a categorical column.

    The row number is the code. Row 0 stands for all values that are not in the
    vocabulary; its value is null.

    Raises:
      UserError: if there is no such column, or the file is damaged.
    """
    extra = self.extras.get(name)
    if extra is None or extra.kind != schema.CATEGORICAL:
      known = [n for n in self.extras if self.extras[n].categories]
      raise UserError(
          f"{self.path}: no categorical column {name!r}; it has"
          f" {', '.join(known) or 'none'}. Name them with --extras NAME:cat"
          " when the log is prepared."
      )
    file = categories_file(name)
    self._check_file(file)
    return pl.read_parquet(self.path / file)

  def sequences(self, split: str) -> pl.DataFrame:
    """One row a sequence, sorted by index; see the columns in the file."""
    self.check_split(split)
    self._check_file(SEQUENCES_FILE)
    return (
        pl.scan_parquet(self.path / SEQUENCES_FILE)
        .filter(pl.col("split") == split)
        .sort("index")
        .collect()
    )

  def source(self, split: str) -> EventSource:
    """The sequences themselves; item i is row i of `sequences(split)`."""
    self.check_split(split)
    return EventSource(
        self.path / self.meta["tfds_folder"],
        split,
        self.meta["splits"][split]["num_sequences"],
        {name: extra.kind for name, extra in self.extras.items()},
    )

  def _check_file(self, name: str) -> None:
    """Compares a file's hash before it is read first."""
    if name not in self._checked:
      integrity.check_file(self.path, name, self.meta["files"][name])
      self._checked.add(name)

  def check_split(self, split: str) -> None:
    """Raises UserError if there is no such split."""
    if split not in self.meta["splits"]:
      raise UserError(
          f"{self.path}: no split {split!r}; it has"
          f" {', '.join(self.meta['splits'])}."
      )


def categories_file(name: str) -> str:
  """Where in a dataset folder the vocabulary of a column is."""
  return f"{CATEGORIES_FOLDER}/{name}.parquet"


def _extra(found: dict[str, Any]) -> schema.Extra:
  if found["kind"] == schema.CATEGORICAL:
    return schema.Extra(schema.CATEGORICAL, categories=found["categories"])
  return schema.Extra(
      schema.NUMERIC, mean=found["mean"] or 0.0, std=found["std"] or 1.0
  )


def open_dataset(path: str | os.PathLike[str]) -> Dataset:
  """Opens a dataset folder after checking that it is whole.

  Args:
    path: the folder given to experiments/prepare.py as --out.

  Returns:
    The dataset; its files are read when they are needed.

  Raises:
    UserError: if the folder is missing, unfinished, of another schema
      version, lacks a file or a part of one, or has one of another dataset.
      Damage inside of a large file is found when it is read, or by `verify`.
  """
  folder, meta = _described(pathlib.Path(path))
  for name, recorded in meta["files"].items():
    if name.endswith(_CHECKED_AT_OPENING):
      integrity.check_file(folder, name, recorded)
    else:
      integrity.check_sample(folder, name, recorded)
  return Dataset(folder, meta)


def _described(folder: pathlib.Path) -> tuple[pathlib.Path, dict[str, Any]]:
  """A dataset folder and its description, after checking that one alone."""
  if not folder.exists():
    raise UserError(f"{folder}: no such dataset folder. {AGAIN}")
  if not folder.is_dir():
    raise UserError(
        f"{folder}: is a file, not a dataset folder. Make one from a log with"
        f" experiments/prepare.py --logs {folder} --out DIR."
    )
  if BUILDING.search(folder.resolve().name):
    raise UserError(
        f"{folder}: is the leftover of an unfinished experiments/prepare.py."
        " Run it again with the same --out."
    )
  meta = _read_meta(folder)
  _check_meta(folder, meta)
  return folder, meta


def verify(path: str | os.PathLike[str], progress: CommandProgress) -> Dataset:
  """Reads every byte of a dataset and compares it with what was written.

  Args:
    path: the folder.
    progress: told how far it is.

  Returns:
    The dataset, if it is whole.

  Raises:
    UserError: names all files that are damaged.
  """
  folder, meta = _described(pathlib.Path(path))
  files = meta["files"]
  damaged = []
  for number, (name, recorded) in enumerate(files.items()):
    progress.stage("verifying files", number, len(files))
    try:
      integrity.check_file(folder, name, recorded)
    except UserError as error:
      damaged.append(str(error))
  if damaged:
    raise UserError("\n".join(damaged))
  return Dataset(folder, meta)


def is_dataset(path: pathlib.Path) -> bool:
  """Whether a folder was written by experiments/prepare.py, of any version."""
  try:
    _read_meta(path)
  except UserError:
    return False
  return True


def _read_meta(folder: pathlib.Path) -> dict[str, Any]:
  file = folder / META_FILE
  if not file.is_file():
    raise UserError(
        f"{folder}: is not a dataset folder or was not finished (no"
        f" {META_FILE}). {AGAIN}"
    )
  try:
    meta = json.loads(file.read_text(encoding="utf-8"))
  except (ValueError, OSError, RecursionError) as error:
    raise UserError(f"{file}: cannot be read ({error}). {AGAIN}") from error
  if not isinstance(meta, dict) or "schema_version" not in meta:
    raise UserError(f"{file}: is not a dataset description. {AGAIN}")
  return meta


def prepare_command(meta: dict[str, Any]) -> str:
  """The command that made a dataset, of any schema version.

  Args:
    meta: content of its dataset.json.

  Returns:
    The recorded command line; where there is none, a line with the flags that
    the content tells, and LOG or DIR for what it does not.
  """
  if meta.get("command"):
    return str(meta["command"])
  sources = [source["name"] for source in meta.get("sources", [])]
  words = ["python", "experiments/prepare.py", "--logs"]
  words += [sources[0] if len(sources) == 1 else "LOG", "--out", "DIR"]
  for flag, default in _FLAGS.items():
    value = meta.get(flag, default)
    if value is True:
      words.append(f"--{flag}")
    elif value != default:
      words += [f"--{flag}", str(value)]
  renamed = [
      f"{ours}={theirs}"
      for ours, theirs in meta.get("columns", {}).items()
      if ours != theirs
  ]
  if renamed:
    words += ["--columns", ",".join(renamed)]
  extras = meta.get("extras", {})
  if extras:
    if isinstance(extras, list):  # Until version 2 all of them were numeric.
      extras = dict.fromkeys(extras, {"kind": schema.NUMERIC})
    kinds = {name: found["kind"] for name, found in extras.items()}
    words += ["--extras", ",".join(columns.declare_extras(kinds))]
  return shlex.join(words)


def _check_meta(folder: pathlib.Path, meta: dict[str, Any]) -> None:
  version = meta["schema_version"]
  changed = UserError(
      f"{folder / META_FILE}: its content has changed since it was written."
      f" The dataset is damaged. {AGAIN}"
  )
  if version != schema.SCHEMA_VERSION:
    try:
      command = prepare_command(meta)
    except (KeyError, TypeError, AttributeError) as error:
      raise changed from error
    raise UserError(
        f"{folder}: was prepared as schema version {version!r}, and this"
        f" program reads version {schema.SCHEMA_VERSION}. Prepare the log again"
        f" (folders are left out here): {command} --overwrite"
    )
  if meta.get(integrity.SELF_HASH) != integrity.self_hash(meta):
    raise changed
