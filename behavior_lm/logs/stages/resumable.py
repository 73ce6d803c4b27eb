"""A folder that appears whole, and whose making can go on after a kill."""

from collections.abc import Callable, Iterator
import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
from typing import TextIO

from behavior_lm.common import folders as folder
from behavior_lm.common.errors import Interrupted
from behavior_lm.common.errors import UserError

# In a folder that is being made: who makes it.
LOCK = "lock"


def building_of(out: pathlib.Path) -> pathlib.Path:
  """The folder in which `out` is being made."""
  return out.with_name(f"{out.name}.building")


@contextlib.contextmanager
def resumable_folder(
    out: pathlib.Path,
    *,
    overwrite: bool,
    is_ours: Callable[[pathlib.Path], bool],
    restart: bool = False,
) -> Iterator[pathlib.Path]:
  """Yields a folder beside `out` that takes its name when the body succeeds.

  After a UserError the folder is deleted: the same input would fail again.
  After everything else, and after Interrupted, it stays, and the next run for
  the same `out` is given it as it is.

  Args:
    out: the folder to make.
    overwrite: replace a folder that is there and ours.
    is_ours: whether a folder was written by the same command.
    restart: empty what an earlier run left.

  Raises:
    UserError: if `out` is in the way, cannot be written, or another process
      is making it.
  """
  if out.parent.is_dir():
    folder.clear_leftovers(out)
  folder.check_free(out, overwrite=overwrite, is_ours=is_ours)
  building = building_of(out)
  try:
    building.mkdir(parents=True, exist_ok=True)
    lock = _lock(building, out)
  except OSError as error:
    raise UserError(
        f"--out {out}: cannot be written: {error.strerror} ({error.filename})."
        " Choose another folder."
    ) from error
  with lock:
    if restart:
      empty(building)
    try:
      yield building
      folder.move_into_place(building, out)
      # The last thing, so that nobody else gets the folder before it is moved.
      (out / LOCK).unlink()
    except Interrupted:
      raise
    except UserError:
      shutil.rmtree(building, ignore_errors=True)
      raise
    except OSError as error:
      if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise
      raise Interrupted(
          f"--out {out}: no space left on the disk. What is done is in"
          f" {building}: make room and run the same command again to continue,"
          " or delete that folder."
      ) from error


def empty(building: pathlib.Path) -> None:
  """Deletes everything but the lock."""
  for path in building.iterdir():
    if path.is_dir():
      shutil.rmtree(path)
    elif path.name != LOCK:
      path.unlink()


def _lock(building: pathlib.Path, out: pathlib.Path) -> TextIO:
  """Open file whose lock ends with the process, however it ends."""
  file = (building / LOCK).open("a+")
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError as error:
    file.seek(0)
    owner = file.read() or "unknown"
    file.close()
    raise UserError(
        f"--out {out}: process {owner} is writing it. Wait for it, or choose"
        " another folder."
    ) from error
  file.truncate(0)
  file.write(str(os.getpid()))
  file.flush()
  return file
