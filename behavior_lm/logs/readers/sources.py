"""Finds the files of a log and says what format each one has."""

import fnmatch
import glob
import hashlib
import os
import pathlib

from behavior_lm.common.errors import UserError
from behavior_lm.logs import formats
from behavior_lm.logs.readers.source_file import CSV
from behavior_lm.logs.readers.source_file import GENERIC
from behavior_lm.logs.readers.source_file import JSONL
from behavior_lm.logs.readers.source_file import PARQUET
from behavior_lm.logs.readers.source_file import Source
from behavior_lm.logs.readers.source_file import TSV

_EXTENSIONS = {
    ".csv": CSV,
    ".tsv": TSV,
    ".tab": TSV,
    ".jsonl": JSONL,
    ".ndjson": JSONL,
    ".json": JSONL,
    ".parquet": PARQUET,
    ".pq": PARQUET,
}
_GZIP_MAGIC = b"\x1f\x8b"
_PARQUET_MAGIC = b"PAR1"


def find_sources(logs: str, log_format: str = "auto") -> list[Source]:
  """Lists the files of a log, sorted by path.

  Args:
    logs: a file, a folder (searched through all its folders) or a glob.
    log_format: auto, one of source_file.GENERIC, or a name in
      formats.FORMATS.

  Raises:
    UserError: if nothing is there, nothing is a log, or formats are mixed.
  """
  formats.check(log_format)
  path = pathlib.Path(logs).expanduser()
  if path.is_dir():
    sources = _in_folder(path, log_format)
  elif path.exists():
    sources = [_source(path, path.name, log_format)]
  elif glob.has_magic(logs):
    matches = [
        pathlib.Path(match)
        for match in sorted(glob.glob(str(path), recursive=True))
        if os.path.isfile(match)
    ]
    if not matches:
      raise UserError(f"--logs {logs}: no file matches this pattern.")
    top = pathlib.Path(os.path.commonpath([m.parent for m in matches]))
    sources = [
        _source(m, m.relative_to(top).as_posix(), log_format) for m in matches
    ]
  else:
    raise UserError(f"--logs {logs}: no such file or folder.")
  _check_one_format(sources, logs)
  return _with_companions(sources, log_format)


def sha256(path: pathlib.Path) -> str:
  """Hash of a file's bytes, in hexadecimal."""
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _in_folder(folder: pathlib.Path, log_format: str) -> list[Source]:
  sources = []
  # Datasets that were prepared before, inside the folder of the logs.
  prepared = {file.parent for file in folder.rglob("dataset.json")}
  for path in sorted(folder.rglob("*")):
    inside = path.relative_to(folder)
    # `_SUCCESS`, `.part.crc`: what other programs leave beside their output.
    if any(part.startswith((".", "_")) for part in inside.parts):
      continue
    if prepared.intersection(path.parents):
      continue
    if path.is_file() and _is_wanted(path, log_format):
      sources.append(_source(path, inside.as_posix(), log_format))
  if not sources:
    known = formats.FORMATS.get(log_format)
    if known is not None:
      wanted = f"file for --format {log_format} ({', '.join(known.files)})"
    elif log_format == formats.AUTO:
      wanted = f"{', '.join(GENERIC)} files"
    else:
      wanted = f"{log_format} files"
    raise UserError(f"--logs {folder}: the folder holds no {wanted}.")
  return sources


def _with_companions(sources: list[Source], log_format: str) -> list[Source]:
  """Adds the files that some formats read together with these."""
  if log_format not in formats.FORMATS:
    return sources
  there = {source.path for source in sources}
  added = []
  for source in sources:
    for path in formats.FORMATS[log_format].companions(source.path):
      if path not in there and path.is_file():
        name = pathlib.PurePath(source.name).with_name(path.name).as_posix()
        added.append(_source(path, name, log_format))
  return sources + added


def _is_wanted(path: pathlib.Path, log_format: str) -> bool:
  """Whether a file in a folder is a log of this format, by its name."""
  known = formats.FORMATS.get(log_format)
  if known is not None:
    name = path.name.lower()
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in known.files)
  found = _by_extension(path)
  return found is not None and log_format in (formats.AUTO, found)


def _source(path: pathlib.Path, name: str, log_format: str) -> Source:
  if not path.is_file():
    raise UserError(f"{path}: is not a regular file.")
  try:
    with path.open("rb") as file:
      head = file.read(4)
  except OSError as error:
    raise UserError(f"{path}: cannot be read: {error.strerror}.") from error
  found = log_format if log_format != "auto" else _by_extension(path)
  if head == _PARQUET_MAGIC and not _is_parquet(found):
    if found is not None:
      raise UserError(
          f"{path}: is a Parquet file, but its"
          f" {'name' if log_format == 'auto' else '--format'} says {found}."
          " Rename it to .parquet or pass --format parquet."
      )
    found = PARQUET
  if found is None:
    raise UserError(
        f"{path}: cannot tell the format from the name; pass --format with one"
        f" of {', '.join(GENERIC)}, or a name that --list_formats shows."
    )
  # A name that is no UTF-8 could not be written into a report.
  name = os.fsencode(name).decode("utf-8", "backslashreplace")
  return Source(
      path, name, found, head[:2] == _GZIP_MAGIC, path.stat().st_size
  )


def _is_parquet(log_format: str | None) -> bool:
  known = formats.FORMATS.get(log_format or "")
  return log_format == PARQUET if known is None else known.parquet


def _by_extension(path: pathlib.Path) -> str | None:
  suffixes = [suffix.lower() for suffix in path.suffixes]
  if suffixes and suffixes[-1] == ".gz":
    suffixes.pop()
  return _EXTENSIONS.get(suffixes[-1]) if suffixes else None


def _check_one_format(sources: list[Source], logs: str) -> None:
  first: dict[str, Source] = {}
  for source in sources:
    first.setdefault(source.format, source)
  if len(first) > 1:
    listed = ", ".join(f"{s.format} ({s.name})" for s in first.values())
    raise UserError(
        f"--logs {logs}: holds files of different formats: {listed}. Choose"
        " one with --format, or pass a pattern such as '*.parquet'."
    )
