"""A folder that appears whole or not at all."""

from collections.abc import Callable, Iterator
import contextlib
import errno
import json
import os
import pathlib
import re
import shutil
import socket

from behavior_lm.common.errors import UserError

# How messages name a folder: what stands before its path, and what it holds.
PREFIX = "--out "
KIND = "dataset"
# Lies in a folder that is being written: whose it is.
OWNER_FILE = "building.json"


@contextlib.contextmanager
def atomic_folder(
    out: pathlib.Path,
    *,
    overwrite: bool,
    is_ours: Callable[[pathlib.Path], bool],
    prefix: str = PREFIX,
    kind: str = KIND,
) -> Iterator[pathlib.Path]:
  """Yields a folder beside `out` that takes its name when the body succeeds.

  Leftovers of killed runs for the same `out` are removed first.

  Args:
    out: the folder to make.
    overwrite: replace a folder that is there and ours.
    is_ours: whether a folder was written by the same command.
    prefix, kind: for messages, see the head of this file.

  Raises:
    UserError: if `out` is in the way or its parent cannot be written.
  """
  if out.parent.is_dir():
    clear_leftovers(out)
  check_free(
      out, overwrite=overwrite, is_ours=is_ours, prefix=prefix, kind=kind
  )
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    building = out.with_name(f"{out.name}.building-{os.getpid()}")
    building.mkdir()
  except OSError as error:
    raise UserError(
        f"{prefix}{out}: cannot be written: {error.strerror}"
        f" ({error.filename}). Choose another folder."
    ) from error
  owner = building / OWNER_FILE
  owner.write_text(
      json.dumps({"pid": os.getpid(), "host": socket.gethostname()})
  )
  try:
    yield building
    owner.unlink(missing_ok=True)
    move_into_place(building, out)
  except OSError as error:
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
      raise
    raise UserError(
        f"{prefix}{out}: no space left on the disk. Nothing was written; make"
        " room or choose another folder."
    ) from error
  finally:
    shutil.rmtree(building, ignore_errors=True)


def check_free(
    out: pathlib.Path,
    *,
    overwrite: bool,
    is_ours: Callable[[pathlib.Path], bool],
    prefix: str = PREFIX,
    kind: str = KIND,
) -> None:
  """Raises UserError unless `out` may be written."""
  for parent in out.parents:
    if parent.exists() and not parent.is_dir():
      raise UserError(
          f"{prefix}{out}: {parent} is a file, not a folder. Choose another"
          " folder."
      )
  if not out.exists():
    return
  if not out.is_dir():
    raise UserError(f"{prefix}{out}: is a file. Choose another folder.")
  if is_ours(out):
    if not overwrite:
      raise UserError(
          f"{prefix}{out}: holds a complete {kind}. Pass --overwrite to replace"
          " it, or choose another folder."
      )
  elif any(out.iterdir()):
    raise UserError(
        f"{prefix}{out}: exists and is not a {kind} of this program, so it is"
        " never overwritten. Choose another folder."
    )


def clear_leftovers(out: pathlib.Path) -> None:
  """Removes what killed runs for `out` left; running ones keep theirs.

  A run killed while it replaced `out` has moved the old folder aside: that
  one is put back.
  """
  name = re.compile(re.escape(out.name) + r"\.(building|old)-(\d+)")
  for path in sorted(out.parent.iterdir()):
    match = name.fullmatch(path.name)
    if not match or not path.is_dir() or not _is_dead(path, int(match[2])):
      continue
    if match[1] == "old" and not out.exists():
      path.rename(out)
    else:
      shutil.rmtree(path, ignore_errors=True)


def _is_dead(path: pathlib.Path, pid: int) -> bool:
  try:
    owner = json.loads((path / OWNER_FILE).read_text())
    if owner["host"] != socket.gethostname():
      return False  # Its process cannot be seen from here.
  except (OSError, ValueError, KeyError):
    pass  # Killed before or after the file was there.
  if pid == os.getpid():
    return True
  try:
    os.kill(pid, 0)
  except (ProcessLookupError, OverflowError):
    return True
  except PermissionError:
    pass  # There is one, of another person.
  return False


def move_into_place(building: pathlib.Path, out: pathlib.Path) -> None:
  """Gives a finished folder its name; one that is there goes afterwards."""
  if not out.exists():
    building.rename(out)
    return
  # A folder cannot be renamed over one with content: move the old one away.
  old = out.with_name(f"{out.name}.old-{os.getpid()}")
  out.rename(old)
  building.rename(out)
  shutil.rmtree(old, ignore_errors=True)
