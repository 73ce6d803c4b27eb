"""Finds the files of a log and says what format each one has."""

import dataclasses
import glob
import hashlib
import os
import pathlib

from behavior_lm.errors import UserError

CSV, TSV, JSONL, PARQUET = "csv", "tsv", "jsonl", "parquet"
FORMATS = (CSV, TSV, JSONL, PARQUET)
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


@dataclasses.dataclass(frozen=True)
class Source:
  """One file of a log.

  Attributes:
    path: where it is.
    name: how reports call it: its path inside the folder given.
    format: one of FORMATS.
    gzipped: whether it is compressed.
    size: bytes on disk.
  """

  path: pathlib.Path
  name: str
  format: str
  gzipped: bool
  size: int


def find_sources(logs: str, log_format: str = "auto") -> list[Source]:
  """Lists the files of a log, sorted by path.

  Args:
    logs: a file, a folder (searched through all its folders) or a glob.
    log_format: one of FORMATS, or auto.

  Raises:
    UserError: if nothing is there, nothing is a log, or formats are mixed.
  """
  if log_format not in ("auto", *FORMATS):
    raise UserError(
        f"--format {log_format!r} is unknown; use auto, {', '.join(FORMATS)}."
    )
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
  return sources


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
    known = _by_extension(path)
    if not path.is_file() or known is None:
      continue
    if log_format in ("auto", known):
      sources.append(_source(path, inside.as_posix(), log_format))
  if not sources:
    wanted = FORMATS if log_format == "auto" else (log_format,)
    raise UserError(
        f"--logs {folder}: the folder holds no {', '.join(wanted)} files."
    )
  return sources


def _source(path: pathlib.Path, name: str, log_format: str) -> Source:
  if not path.is_file():
    raise UserError(f"{path}: is not a regular file.")
  try:
    with path.open("rb") as file:
      head = file.read(4)
  except OSError as error:
    raise UserError(f"{path}: cannot be read: {error.strerror}.") from error
  found = log_format if log_format != "auto" else _by_extension(path)
  if head == _PARQUET_MAGIC and found != PARQUET:
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
        f" of {', '.join(FORMATS)}."
    )
  # A name that is no UTF-8 could not be written into a report.
  name = os.fsencode(name).decode("utf-8", "backslashreplace")
  return Source(
      path, name, found, head[:2] == _GZIP_MAGIC, path.stat().st_size
  )


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
