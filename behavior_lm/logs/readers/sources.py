"""Finds the files of a log and says what format each one has."""

import dataclasses
import fnmatch
import glob
import hashlib
import os
import pathlib
import re

from behavior_lm.common.errors import UserError
from behavior_lm.logs import formats
from behavior_lm.logs.readers import folder_listing
from behavior_lm.logs.readers import text_lines
from behavior_lm.logs.readers.source_file import compression_of
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
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zstd", ".lz4")
_ARCHIVES = (".zip", ".tar", ".tgz", ".rar", ".7z")
# What programs that rotate logs append: log.csv.1, log.csv.2024-06-01.
_ROTATED = re.compile(r"\.\d[\d-]*")
_PARQUET_MAGIC = b"PAR1"
_HEAD_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class Found:
  """What lies where the log is.

  Attributes:
    files: to read, sorted by path.
    skipped: {name: why it is not read} of all others.
  """

  files: list[Source]
  skipped: dict[str, str]


def find_sources(logs: str, log_format: str = "auto") -> Found:
  """Lists the files of a log.

  Args:
    logs: a file, a folder (searched through all its folders) or a glob, which
      may match folders too.
    log_format: auto, one of source_file.GENERIC, or a name in
      formats.FORMATS.

  Raises:
    UserError: if nothing is there, nothing is a log, something cannot be read,
      or formats are mixed.
  """
  formats.check(log_format)
  path = pathlib.Path(logs).expanduser()
  if path.is_dir():
    found = _in_folder(path, log_format)
    if not found.files:
      raise UserError(_no_files(path, log_format, found.skipped))
  elif path.exists() or path.is_symlink():
    found = Found([_source(path, path.name, log_format)], {})
  elif glob.has_magic(logs):
    found = _of_pattern(path, logs, log_format)
  else:
    raise UserError(f"--logs {logs}: no such file or folder.")
  _check_one_format(found.files, logs)
  files = _with_companions(found.files, log_format)
  read = {source.name for source in files}
  skipped = {n: why for n, why in found.skipped.items() if n not in read}
  return Found(files, skipped)


def sha256(path: pathlib.Path) -> str:
  """Hash of a file's bytes, in hexadecimal."""
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _of_pattern(path: pathlib.Path, logs: str, log_format: str) -> Found:
  matches = [
      pathlib.Path(match)
      for match in sorted(glob.glob(str(path), recursive=True))
  ]
  # `**` matches folders and what is inside: a file is read once.
  if "**" in logs:
    matches = [match for match in matches if not match.is_dir()]
  if not matches:
    raise UserError(f"--logs {logs}: no file matches this pattern.")
  top = pathlib.Path(os.path.commonpath([m.parent for m in matches]))
  found = Found([], {})
  for match in matches:
    name = match.relative_to(top).as_posix()
    if not match.is_dir():
      found.files.append(_source(match, name, log_format))
      continue
    inner = _in_folder(match, log_format, name + "/")
    found.files.extend(inner.files)
    found.skipped.update(inner.skipped)
  if not found.files:
    raise UserError(_no_files(path, log_format, found.skipped))
  return found


def _in_folder(
    folder: pathlib.Path, log_format: str, prefix: str = ""
) -> Found:
  """Every file below a folder is in the result: to be read, or skipped."""
  sources, unnamed = [], []
  listed, skipped = folder_listing.list_files(folder)
  for path in listed:
    name = prefix + path.relative_to(folder).as_posix()
    reason = _reason_to_skip(path, log_format)
    if reason:
      skipped[name] = reason
    elif log_format == formats.AUTO and _by_extension(path) is None:
      unnamed.append((path, name))
    else:
      sources.append(_source(path, name, log_format))
  for path, name in unnamed:
    guess = _by_content(path, sources)
    if guess is None:
      skipped[name] = (
          "neither its name nor its first line tells its format, --format does"
      )
    else:
      sources.append(_source(path, name, guess))
  sources.sort(key=lambda source: source.path)
  return Found(sources, dict(sorted(skipped.items())))


def _no_files(
    folder: pathlib.Path, log_format: str, skipped: dict[str, str]
) -> str:
  known = formats.FORMATS.get(log_format)
  if known is not None:
    wanted = f"file for --format {log_format} ({', '.join(known.files)})"
  elif log_format == formats.AUTO:
    wanted = f"{', '.join(GENERIC)} files"
  else:
    wanted = f"{log_format} files"
  first = "".join(f" {n}: {why}." for n, why in list(skipped.items())[:3])
  return f"--logs {folder}: the folder holds no {wanted}.{first}"


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


def _reason_to_skip(path: pathlib.Path, log_format: str) -> str:
  """Why a file of a folder is no log of this format; empty if it may be."""
  if not path.is_file():
    return "no regular file (a pipe, a socket or a device)"
  if path.suffix.lower() in _ARCHIVES:
    return "an archive; unpack it"
  known = formats.FORMATS.get(log_format)
  if known is not None:
    names = (path.name.lower(), _without_endings(path.name))
    if any(fnmatch.filter(names, pattern) for pattern in known.files):
      return ""
    return f"no name of --format {log_format}"
  found = _by_extension(path)
  if found == PARQUET and not path.stat().st_size:
    return "empty (0 bytes)"
  if found is None:
    bare = _without_endings(path.name)
    unknown = pathlib.PurePath(bare).suffix
    return f"ends in {unknown}, which tells no format" if unknown else ""
  if log_format not in (formats.AUTO, found):
    return f"{found}, while --format is {log_format}"
  return ""


def _by_content(path: pathlib.Path, others: list[Source]) -> str | None:
  """The format of a file whose name tells none; None if it does not show."""
  start = _start_of(path)
  if start.startswith(_PARQUET_MAGIC):
    return PARQUET
  if start.lstrip()[:1] in (b"{", b"["):
    return JSONL
  line = start.split(b"\n", 1)[0].strip()
  for other in others:
    if other.format in (CSV, TSV):
      header = _start_of(other.path).split(b"\n", 1)[0].strip()
      if line and line == header:
        return other.format
  return None


def _start_of(path: pathlib.Path) -> bytes:
  source = Source(path, path.name, CSV, _compression(path), 0)
  with text_lines.open_file(source) as stream:
    try:
      return stream.read(_HEAD_BYTES)
    except (OSError, EOFError, ValueError):
      return b""


def _compression(path: pathlib.Path) -> str:
  try:
    with path.open("rb") as file:
      return compression_of(file.read(8))
  except OSError as error:
    raise UserError(f"{path}: cannot be read: {error.strerror}.") from error


def _source(path: pathlib.Path, name: str, log_format: str) -> Source:
  if not path.is_file():
    raise UserError(f"{path}: is not a regular file.")
  try:
    with path.open("rb") as file:
      head = file.read(8)
  except OSError as error:
    raise UserError(f"{path}: cannot be read: {error.strerror}.") from error
  found = log_format if log_format != "auto" else _by_extension(path)
  if head.startswith(_PARQUET_MAGIC) and not _is_parquet(found):
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
  whole, name = (
      os.fsencode(text).decode("utf-8", "backslashreplace")
      for text in (path.absolute(), name)
  )
  return Source(
      path,
      name,
      found,
      compression_of(head),
      path.stat().st_size,
      folder_values=folder_listing.folder_values(whole),
  )


def _is_parquet(log_format: str | None) -> bool:
  known = formats.FORMATS.get(log_format or "")
  return log_format == PARQUET if known is None else known.parquet


def _by_extension(path: pathlib.Path) -> str | None:
  suffix = pathlib.PurePath(_without_endings(path.name)).suffix
  return _EXTENSIONS.get(suffix)


def _without_endings(name: str) -> str:
  """A name in small letters without what packing and rotation appended."""
  path = pathlib.PurePath(name.lower())
  while path.suffix in _PACKED or _ROTATED.fullmatch(path.suffix):
    path = path.with_suffix("")
  return path.name


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
