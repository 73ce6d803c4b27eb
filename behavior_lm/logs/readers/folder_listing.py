"""Lists every file below a folder, links included, each once."""

import os
import pathlib
import urllib.parse

from behavior_lm.common.errors import UserError

# How Hive and Spark write a missing value into the name of a folder.
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


def list_files(
    folder: pathlib.Path,
) -> tuple[list[pathlib.Path], dict[str, str]]:
  """Finds the files of a log.

  Links to folders and files are followed. What is reached twice is listed
  once, by the path without a link where there is one.

  Args:
    folder: where to look, through all its folders.

  Returns:
    The paths, sorted; and {path inside `folder`: reason} of what is no part of
    the log: hidden files, datasets that were prepared before, and second ways
    to the same file.

  Raises:
    UserError: if a folder may not be listed, or a link leads nowhere.
  """
  found: dict[tuple[int, int], pathlib.Path] = {}
  skipped: dict[str, str] = {}
  seen = {_identity(folder): folder}
  waiting = [folder]
  links: list[pathlib.Path] = []
  # Links come last, so that they count as the second way.
  while waiting or links:
    here = waiting.pop() if waiting else links.pop(0)
    if here.is_file() or not here.is_dir():
      _add(here, folder, found, skipped)
      continue
    if here.is_symlink():
      first = seen.setdefault(_identity(here), here)
      if first != here:
        skipped[_name(here, folder) + "/"] = f"a link to {first}, read already"
        continue
    children = _children(here)
    if "dataset.json" in {path.name for path in children}:
      skipped[_name(here, folder) + "/"] = "a dataset that was prepared before"
      continue
    for path in children:
      if path.name.startswith((".", "_")):
        # `_SUCCESS`, `.part.crc`: what programs leave beside their output.
        end = "/" if path.is_dir() else ""
        skipped[_name(path, folder) + end] = "its name begins with . or _"
      elif path.is_symlink():
        links.append(path)
      elif path.is_dir():
        seen[_identity(path)] = path
        waiting.append(path)
      else:
        _add(path, folder, found, skipped)
  return sorted(found.values()), skipped


def folder_values(name: str) -> dict[str, str | None]:
  """The columns that a path states: `event_id=login/day=1/a.parquet`."""
  values = {}
  for part in pathlib.PurePosixPath(name).parts[:-1]:
    key, sign, value = part.partition("=")
    if sign and key:
      text = urllib.parse.unquote(value)
      values[urllib.parse.unquote(key)] = None if text == _HIVE_NULL else text
  return values


def _add(
    path: pathlib.Path,
    folder: pathlib.Path,
    found: dict[tuple[int, int], pathlib.Path],
    skipped: dict[str, str],
) -> None:
  first = found.setdefault(_identity(path), path)
  if first != path:
    skipped[_name(path, folder)] = f"the same file as {_name(first, folder)}"


def _children(folder: pathlib.Path) -> list[pathlib.Path]:
  try:
    return sorted(folder.iterdir())
  except OSError as error:
    raise UserError(
        f"{folder}: the folder cannot be listed: {error.strerror}. Give"
        " yourself the right to read it, or move it out of the log."
    ) from error


def _identity(path: pathlib.Path) -> tuple[int, int]:
  try:
    found = path.stat()
  except OSError as error:
    what = "is a link that leads nowhere" if path.is_symlink() else "is gone"
    raise UserError(
        f"{path}: {what} ({error.strerror}). Repair or remove it."
    ) from error
  return found.st_dev, found.st_ino


def _name(path: pathlib.Path, folder: pathlib.Path) -> str:
  return os.fsencode(path.relative_to(folder).as_posix()).decode(
      "utf-8", "backslashreplace"
  )
