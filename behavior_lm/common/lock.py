"""A folder or a file that one process at a time writes."""

from collections.abc import Iterator
import contextlib
import fcntl
import os
from pathlib import Path

from behavior_lm.common.errors import UserError

# In the folder: the id of the process that writes it.
LOCK = "lock"


@contextlib.contextmanager
def held(folder: Path, where: str) -> Iterator[None]:
  """Context in which no other process may hold a folder.

  The folder is made if absent, and goes again if the body leaves it empty.
  The lock ends with the process, its file with the context.

  Args:
    folder: to hold; the body may rename it.
    where: what messages begin with, "--out data/mine" say.

  Raises:
    UserError: if another process holds it, or it cannot be written.
  """
  path = folder / LOCK
  made = not folder.exists()
  try:
    folder.mkdir(parents=True, exist_ok=True)
    file = path.open("a+")
  except OSError as error:
    raise UserError(
        f"{where}: cannot be written: {error.strerror} ({error.filename})."
        " Choose another place, or change the rights of the folder."
    ) from error
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      # Whoever held it until now has deleted the file that was opened here.
      if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
        raise FileNotFoundError
    except OSError as error:
      file.seek(0)
      raise UserError(
          f"{where}: process {file.read() or 'unknown'} is writing it. Wait"
          " for it, or choose another place."
      ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    try:
      yield
    finally:
      path.unlink(missing_ok=True)
      if made and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


@contextlib.contextmanager
def held_beside(out: Path, where: str) -> Iterator[None]:
  """Context in which no other process may write a file, or replace a folder.

  For results that appear as a whole: the lock lies beside them, in the folder
  .OUT.writing, which goes with the context, as do parents that were made for it
  and stayed empty. What a kill leaves of it is taken over by the next one.

  Args:
    out: the file or folder; it may be absent.
    where: what messages begin with.

  Raises:
    UserError: if another process holds it, or it cannot be written.
  """
  out = out.absolute()
  folder = out.parent / f".{out.name}.writing"
  made = [parent for parent in folder.parents if not parent.exists()]
  try:
    with held(folder, where):
      yield
  finally:
    for path in (folder, *made):
      # A folder that is not empty stays.
      with contextlib.suppress(OSError):
        path.rmdir()
