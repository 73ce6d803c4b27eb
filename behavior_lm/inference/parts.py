"""Work that survives a kill: results in checked parts, joined at the end.

`OUT.parts/` holds manifest.json, which says what is being made, and one
Parquet file a part, `NAME.HASH.parquet`. A part takes its name when it is
whole, and the name holds the hash of its bytes: no list has to agree with it.
"""

from collections.abc import Mapping
import fcntl
import hashlib
import json
from pathlib import Path
import shutil
from types import TracebackType
from typing import Any, IO

import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole

MANIFEST = "manifest.json"
_LOCK = "lock"
_HASH_DIGITS = 32


class Parts:
  """The parts of one result; a context, for one process at a time.

  Args:
    out: the result that they are for.
    settings: JSON values; parts of other settings are never mixed in.

  Raises:
    UserError: on entering, if the parts there are of other settings, or
      another process is at work on them.
  """

  def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
    self.folder = out.with_name(f"{out.name}.parts")
    self._out = out
    self._settings = json.loads(json.dumps(settings))
    self._lock: IO[str] | None = None
    # Files whose bytes did not match their name; they were removed.
    self.damaged: list[str] = []

  def __enter__(self) -> "Parts":
    try:
      self.folder.mkdir(parents=True, exist_ok=True)
      self._lock = (self.folder / _LOCK).open("w")
    except OSError as error:
      raise UserError(
          f"{self.folder}: cannot be written: {error.strerror}. Choose another"
          " --out."
      ) from error
    try:
      # Freed by the system when the process dies, however it dies.
      fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
      self._check_manifest()
    except BlockingIOError:
      self._lock.close()
      raise UserError(
          f"{self._out}: another process is making it now. Wait for it, or"
          " choose another --out."
      ) from None
    except UserError:
      self._lock.close()
      raise
    return self

  def __exit__(
      self,
      kind: type[BaseException] | None,
      error: BaseException | None,
      trace: TracebackType | None,
  ) -> None:
    if self._lock is not None:
      self._lock.close()

  def find(self, name: str) -> Path | None:
    """The file of a finished part; one that is damaged is removed."""
    for path in sorted(self.folder.glob(f"{name}.*.parquet")):
      if path.name.split(".")[-2] == _hash(path):
        return path
      self.damaged.append(path.name)
      path.unlink()
    return None

  def write(self, name: str, table: pl.DataFrame) -> Path:
    """Writes a part, whole or not at all."""
    temporary = self.folder / f"{name}.tmp"
    try:
      table.write_parquet(temporary)
      path = self.folder / f"{name}.{_hash(temporary)}.parquet"
      temporary.replace(path)
    except OSError as error:
      raise UserError(f"{temporary}: cannot be written: {error}.") from error
    return path

  def remove(self) -> None:
    """Removes all parts; the result is in place."""
    shutil.rmtree(self.folder, ignore_errors=True)

  def _check_manifest(self) -> None:
    path = self.folder / MANIFEST
    try:
      there = json.loads(path.read_text())
    except FileNotFoundError:
      # Written first of all, so whatever else lies here is of nobody known.
      write_whole(path, json.dumps(self._settings, indent=1) + "\n")
      return
    except ValueError:
      raise UserError(
          f"{path}: is damaged. Delete {self.folder} to start again."
      ) from None
    if difference := differences(there, self._settings):
      raise UserError(
          f"{self.folder} holds unfinished work of other settings:"
          f" {difference}. Use the old settings to go on with it, choose"
          " another --out, or delete that folder."
      )


# Folders may be renamed; fingerprints tell what they hold.
_NAMES = {"run", "data"}


def differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
  """What differs between two settings, as text; empty if nothing."""
  return ", ".join(
      f"{key} ({there.get(key)!r} there, {now.get(key)!r} now)"
      for key in sorted({*there, *now} - _NAMES)
      if there.get(key) != now.get(key)
  )


def _hash(path: Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()[:_HASH_DIGITS]
