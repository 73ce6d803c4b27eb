"""Reads a dataset folder that experiments/prepare.py wrote."""

import functools
import json
import operator
import os
import pathlib
import re
import threading
from typing import Any, SupportsIndex

import numpy as np
import polars as pl

from behavior_lm.data import schema
from behavior_lm.errors import UserError

META_FILE = "dataset.json"
PAIRS_FILE = "pairs.parquet"
SEQUENCES_FILE = "sequences.parquet"
QUARANTINE_FILE = "quarantine.jsonl"
REPORT_FILE = "report.json"
TFDS_FOLDER = "tfds"
# A folder of this name is still being written.
BUILDING = re.compile(r"\.building-\d+$")

_AGAIN = "Run experiments/prepare.py again."


class EventSource:
  """Random access to the sequences of one split.

  Files are opened at the first access, and again after pickling, so that a
  worker process holds handles of its own.

  Args:
    folder: the TFDS folder.
    split: its name.
    length: number of sequences.
  """

  def __init__(self, folder: str | os.PathLike[str], split: str, length: int):
    self.folder = os.fspath(folder)
    self.split = split
    self._length = length
    self._source: Any = None
    self._lock = threading.Lock()

  def __len__(self) -> int:
    return self._length

  def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
    """Returns one sequence.

    Args:
      index: position in the split; negative counts from the end.

    Returns:
      {"user_id": str, "start": int, microseconds UTC, "pair": int32 [n],
      "timestamp": int64 [n], microseconds UTC}.

    Raises:
      IndexError: if there is no such sequence.
    """
    position = operator.index(index)
    if not -self._length <= position < self._length:
      raise IndexError(f"index {position} of {self._length} sequences")
    row = self._open()[position % self._length]
    return {
        "user_id": row["user_id"].decode("utf-8"),
        "start": int(row["start"]),
        "pair": np.asarray(row["pair"], np.int32),
        "timestamp": np.asarray(row["timestamp"], np.int64),
    }

  def __getstate__(self) -> dict[str, Any]:
    return {
        "folder": self.folder,
        "split": self.split,
        "_length": self._length,
    }

  def __setstate__(self, state: dict[str, Any]) -> None:
    self.__dict__.update(state)
    self._source = None
    self._lock = threading.Lock()

  def __repr__(self) -> str:
    return f"EventSource({self.folder!r}, {self.split!r}, {self._length})"

  def _open(self) -> Any:
    if self._source is None:
      with self._lock:
        if self._source is None:
          # A second of import that commands without data need not pay.
          import tensorflow_datasets as tfds

          builder = tfds.builder_from_directory(self.folder)
          self._source = builder.as_data_source(split=self.split)
    return self._source


class Dataset:
  """A dataset folder.

  Attributes:
    path: the folder.
    meta: the content of dataset.json.
  """

  def __init__(self, path: pathlib.Path, meta: dict[str, Any]):
    self.path = path
    self.meta = meta

  @property
  def splits(self) -> list[str]:
    return list(self.meta["splits"])

  @functools.cached_property
  def pairs(self) -> pl.DataFrame:
    """event_id, design_id, train_count; the row number is the pair code."""
    return pl.read_parquet(self.path / PAIRS_FILE)

  def sequences(self, split: str) -> pl.DataFrame:
    """One row a sequence, sorted by index; see the columns in the file."""
    self._check_split(split)
    return (
        pl.scan_parquet(self.path / SEQUENCES_FILE)
        .filter(pl.col("split") == split)
        .sort("index")
        .collect()
    )

  def source(self, split: str) -> EventSource:
    """The sequences themselves; item i is row i of `sequences(split)`."""
    self._check_split(split)
    return EventSource(
        self.path / self.meta["tfds_folder"],
        split,
        self.meta["splits"][split]["num_sequences"],
    )

  def _check_split(self, split: str) -> None:
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
      version, or lacks a file or a part of one.
  """
  folder = pathlib.Path(path)
  if not folder.exists():
    raise UserError(f"{folder}: no such dataset folder. {_AGAIN}")
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
  version = meta.get("schema_version")
  if version != schema.SCHEMA_VERSION:
    raise UserError(
        f"{folder}: has schema version {version!r}, this program reads"
        f" {schema.SCHEMA_VERSION}. {_AGAIN}"
    )
  for name, size in meta.get("files", {}).items():
    file = folder / name
    if not file.is_file():
      raise UserError(f"{file}: missing. The dataset is damaged. {_AGAIN}")
    if file.stat().st_size != size:
      raise UserError(
          f"{file}: has {file.stat().st_size:,} bytes instead of {size:,}. The"
          f" dataset is damaged. {_AGAIN}"
      )
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
        f" {META_FILE}). {_AGAIN}"
    )
  try:
    meta = json.loads(file.read_text(encoding="utf-8"))
  except (ValueError, OSError) as error:
    raise UserError(f"{file}: cannot be read ({error}). {_AGAIN}") from error
  if not isinstance(meta, dict) or "schema_version" not in meta:
    raise UserError(f"{file}: is not a dataset description. {_AGAIN}")
  return meta
