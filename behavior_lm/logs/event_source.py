"""Random access to the sequences of a dataset, each checked when it is read."""

import bisect
import itertools
import operator
import os
import pathlib
import threading
from typing import Any, SupportsIndex

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.logs import checksum
from behavior_lm.logs import schema


class EventSource:
  """Random access to the sequences of one split.

  Files are opened at the first access, and again after pickling, so that a
  worker process holds handles of its own.

  Args:
    folder: the TFDS folder.
    split: its name.
    length: number of sequences.
    extras: kinds of the extra columns.
  """

  def __init__(
      self,
      folder: str | os.PathLike[str],
      split: str,
      length: int,
      extras: schema.Kinds | None = None,
  ):
    self.folder = os.fspath(folder)
    self.split = split
    self.extras = dict(extras or {})
    self._length = length
    self._lock = threading.Lock()
    self._source: Any = None
    self._files: list[str] = []
    self._ends: list[int] = []

  def __len__(self) -> int:
    return self._length

  def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
    """Returns one sequence.

    Args:
      index: position in the split; negative counts from the end.

    Returns:
      {"user_id": str, "start": int, microseconds UTC, "pair": int32 [n],
      "timestamp": int64 [n], microseconds UTC} and each extra column by its
      name: a numeric one as float64 [n], NaN where the log has no value; a
      categorical one as int32 [n] codes, -1 where the log has no value and 0
      where the value is not in the vocabulary.

    Raises:
      IndexError: if there is no such sequence.
      UserError: if its file is damaged.
    """
    position = operator.index(index)
    if not -self._length <= position < self._length:
      raise IndexError(f"index {position} of {self._length} sequences")
    position %= self._length
    source = self._open()
    try:
      row = source[position]
      found = {
          schema.USER_ID: row[schema.USER_ID].decode("utf-8"),
          "start": int(row["start"]),
          "pair": np.asarray(row["pair"], np.int32),
          schema.TIMESTAMP: np.asarray(row[schema.TIMESTAMP], np.int64),
      } | {
          name: np.asarray(row[name], schema.EXTRA_DTYPES[kind])
          for name, kind in self.extras.items()
      }
      stored = int(row[checksum.FIELD])
    except MemoryError:
      raise
    except Exception as error:
      # The readers raise whatever they like over bytes that are not theirs.
      raise self._damaged(position, _short(error)) from error
    place = position - self._first(self._file_of(position))
    if checksum.example_crc(found, place, self.extras) != stored:
      raise self._damaged(position, "its checksum is another")
    return found

  def __getstate__(self) -> dict[str, Any]:
    names = ("folder", "split", "extras", "_length")
    return {name: self.__dict__[name] for name in names}

  def __setstate__(self, state: dict[str, Any]) -> None:
    self.__init__(  # type: ignore[misc]
        state["folder"], state["split"], state["_length"], state["extras"]
    )

  def __repr__(self) -> str:
    return f"EventSource({self.folder!r}, {self.split!r}, {self._length})"

  def _open(self) -> Any:
    if self._source is None:
      with self._lock:
        if self._source is None:
          # A second of import that commands without data need not pay.
          import tensorflow_datasets as tfds

          try:
            builder = tfds.builder_from_directory(self.folder)
            info = builder.info.splits[self.split]
            self._files = list(info.filenames)
            self._ends = list(itertools.accumulate(info.shard_lengths))
            source = builder.as_data_source(split=self.split)
          except Exception as error:
            raise UserError(
                f"{self.folder}: cannot be opened ({_short(error)}). The"
                " dataset is damaged. Run experiments/prepare.py again."
            ) from error
          self._source = source
    return self._source

  def _file_of(self, position: int) -> int:
    return bisect.bisect_right(self._ends, position)

  def _first(self, file: int) -> int:
    return self._ends[file - 1] if file else 0

  def _damaged(self, position: int, why: str) -> UserError:
    file = self._file_of(position)
    path = pathlib.Path(self.folder) / self._files[file]
    return UserError(
        f"{path}: sequence {position:,} of {self.split} (number"
        f" {position - self._first(file):,} in this file) is damaged: {why}."
        " Run experiments/prepare.py again, or copy the dataset again."
    )


def _short(error: Exception) -> str:
  lines = str(error).strip().splitlines() or [""]
  return f"{type(error).__name__}: {lines[0][:120]}".rstrip(": ")
