"""Reads a dataset folder that experiments/prepare.py wrote."""

import functools
import json
import os
import pathlib
import re
from typing import Any

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import integrity
from behavior_lm.logs import schema
from behavior_lm.logs.event_source import EventSource
from behavior_lm.logs.integrity import AGAIN

META_FILE = "dataset.json"
PAIRS_FILE = "pairs.parquet"
SEQUENCES_FILE = "sequences.parquet"
QUARANTINE_FILE = "quarantine.jsonl"
REPORT_FILE = "report.json"
TFDS_FOLDER = "tfds"
# A folder of this name is still being written.
BUILDING = re.compile(r"\.building(-\d+)?$")
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
  def extras(self) -> tuple[str, ...]:
    """Names of the extra numeric columns."""
    return tuple(self.meta["extras"])

  @functools.cached_property
  def pairs(self) -> pl.DataFrame:
    """event_id, design_id, train_count; the row number is the pair code."""
    self._check_file(PAIRS_FILE)
    return pl.read_parquet(self.path / PAIRS_FILE)

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
        self.extras,
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


def open_dataset(path: str | os.PathLike[str]) -> Dataset:
  """Opens a dataset folder after checking that it is whole.

  Args:
    path: the folder given to experiments/prepare.py as --out.

  Returns:
    The dataset; its files are read when they are needed.

  Raises:
    UserError: if the folder is missing, unfinished, of another schema
      version, or lacks a file or a part of one. Damage inside of a large file
      is found when it is read, or by `verify`.
  """
  folder = pathlib.Path(path)
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
  for name, recorded in meta["files"].items():
    if name.endswith(_CHECKED_AT_OPENING):
      integrity.check_file(folder, name, recorded)
    else:
      integrity.check_size(folder, name, recorded)
  return Dataset(folder, meta)


def verify(path: str | os.PathLike[str], progress: CommandProgress) -> Dataset:
  """Reads every byte of a dataset and compares it with what was written.

  Args:
    path: the folder.
    progress: told how far it is.

  Returns:
    The dataset, if it is whole.

  Raises:
    UserError: names the files that are damaged.
  """
  dataset = open_dataset(path)
  files = dataset.meta["files"]
  damaged = []
  for number, (name, recorded) in enumerate(files.items()):
    progress.stage("verifying files", number, len(files))
    try:
      integrity.check_file(dataset.path, name, recorded)
    except UserError as error:
      damaged.append(str(error))
  if damaged:
    raise UserError("\n".join(damaged))
  return dataset


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
  except (ValueError, OSError) as error:
    raise UserError(f"{file}: cannot be read ({error}). {AGAIN}") from error
  if not isinstance(meta, dict) or "schema_version" not in meta:
    raise UserError(f"{file}: is not a dataset description. {AGAIN}")
  return meta


def _check_meta(folder: pathlib.Path, meta: dict[str, Any]) -> None:
  version = meta["schema_version"]
  if version != schema.SCHEMA_VERSION:
    raise UserError(
        f"{folder}: has schema version {version!r}, this program reads"
        f" {schema.SCHEMA_VERSION}. {AGAIN}"
    )
  if meta.get(integrity.SELF_HASH) != integrity.self_hash(meta):
    raise UserError(
        f"{folder / META_FILE}: its content has changed since it was written."
        f" The dataset is damaged. {AGAIN}"
    )
