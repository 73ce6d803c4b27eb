"""Work that survives a kill: what is finished is recorded, and not repeated.

A task writes its files and then, atomically, one marker `FOLDER/done/TASK.json`
with the request that it answers, its result, and the sizes and hashes of its
files. It is finished if the request is the same and its files are as recorded.
No task needs another one's memory, so that several processes, or machines with
one disk, can share them out.

Two contexts hold a folder of tasks for one process at a time: that of
`resumable_folder` becomes the result, that of `work_folder` is deleted once
the result is elsewhere.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import errno
import json
from pathlib import Path
import shutil
from typing import Any

from behavior_lm.common import folders
from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import Interrupted
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import sha256 as hash_file
from behavior_lm.common.files import write_whole
from behavior_lm.common.lock import held
from behavior_lm.common.lock import LOCK

# In a work folder: the request that its tasks are for.
REQUEST = "request.json"
_MARKERS = "done"


@dataclasses.dataclass(frozen=True)
class Output:
  """A file that a task wrote, by its name in the tasks' folder."""

  name: str
  bytes: int
  sha256: str


def output(folder: Path, path: Path, sha256: str = "") -> Output:
  """Describes a file below `folder`; hashes it unless the hash is known."""
  return Output(
      path.relative_to(folder).as_posix(),
      path.stat().st_size,
      sha256 or hash_file(path),
  )


def finish(
    folder: Path,
    task: str,
    result: Mapping[str, Any],
    outputs: Sequence[Output] = (),
    *,
    request: Any = None,
) -> dict[str, Any]:
  """Records that a task is finished.

  Args:
    folder: of all tasks.
    task: its name.
    result: what it found, as JSON.
    outputs: its files.
    request: JSON that decides what the task does, unless `folder` holds the
      tasks of one request alone.

  Returns:
    The result as `finished` will return it.
  """
  text = json.dumps({
      "request": request,
      "result": result,
      "outputs": [dataclasses.asdict(file) for file in outputs],
  })
  marker = _marker(folder, task)
  marker.parent.mkdir(exist_ok=True)
  write_whole(marker, text)
  found: dict[str, Any] = json.loads(text)["result"]
  return found


def finished(
    folder: Path, task: str, *, request: Any = None
) -> dict[str, Any] | None:
  """The result of a task, or None where there is work left to do.

  A task whose request was another one, or whose files are missing or changed,
  has work left to do.

  Raises:
    Interrupted: if the marker is damaged.
  """
  marker = _marker(folder, task)
  try:
    record = json.loads(marker.read_text(encoding="utf-8"))
    outputs = [Output(**file) for file in record["outputs"]]
    result: dict[str, Any] = record["result"]
    answered = record["request"]
  except FileNotFoundError:
    return None
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise Interrupted(
        f"{marker}: is damaged ({first_line(error)}). Delete it and run the"
        f" same command again: {task!r} is then repeated."
    ) from error
  if answered != _as_json(request):
    return None
  for file in outputs:
    path = folder / file.name
    if not path.is_file() or path.stat().st_size != file.bytes:
      return None
    if hash_file(path) != file.sha256:
      return None
  return result


def was_finished(folder: Path, task: str) -> bool:
  """Whether a task was ever finished, its files damaged or not."""
  return _marker(folder, task).exists()


def differences(
    there: Mapping[str, Any],
    now: Mapping[str, Any],
    ignored: Collection[str] = (),
) -> str:
  """Names the keys in which two requests differ, "" if there are none."""
  return ", ".join(
      f"{key} ({there.get(key)!r} there, {now.get(key)!r} now)"
      for key in sorted({*there, *now} - set(ignored))
      if there.get(key) != now.get(key)
  )


@contextlib.contextmanager
def work_folder(
    out: Path, request: Mapping[str, Any], ignored: Collection[str] = ()
) -> Iterator[Path]:
  """Yields `OUT.parts`, a folder for tasks; deletes it if the body succeeds.

  Args:
    out: the result that the tasks are for.
    request: JSON that decides the result. The tasks of another request are
      never mixed in.
    ignored: keys of `request` that may differ.

  Raises:
    UserError: if the folder cannot be written, holds tasks of another request
      or a damaged one, or another process is at work in it.
  """
  folder = out.with_name(f"{out.name}.parts")
  with held(folder, f"--out {out}"):
    _check_request(folder, request, ignored)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def building_of(out: Path) -> Path:
  """The folder in which `resumable_folder` makes `out`."""
  return out.with_name(f"{out.name}.building")


@contextlib.contextmanager
def resumable_folder(
    out: Path,
    *,
    overwrite: bool,
    is_ours: Callable[[Path], bool],
    restart: bool = False,
    prefix: str = folders.PREFIX,
    kind: str = folders.KIND,
) -> Iterator[Path]:
  """Yields a folder beside `out` that takes its name when the body succeeds.

  After a UserError the folder is deleted: the same input would fail again.
  After everything else, and after Interrupted, it stays, and the next run for
  the same `out` gets it as it is.

  Args:
    out: the folder to make.
    overwrite: replace a folder that is there and ours.
    is_ours: whether a folder was written by the same command.
    restart: empty what an earlier run left.
    prefix, kind: for messages, see `common.folders`.

  Raises:
    UserError: if `out` is in the way, cannot be written, or another process
      is making it.
  """
  if out.parent.is_dir():
    folders.clear_leftovers(out)
  folders.check_free(
      out, overwrite=overwrite, is_ours=is_ours, prefix=prefix, kind=kind
  )
  building = building_of(out)
  with held(building, f"{prefix}{out}"):
    if restart:
      empty(building)
    try:
      yield building
      folders.move_into_place(building, out)
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
          f"{prefix}{out}: no space left on the disk. What is done is in"
          f" {building}: make room and run the same command again to continue,"
          " or delete that folder."
      ) from error


def empty(building: Path) -> None:
  """Deletes everything but the lock."""
  for path in building.iterdir():
    if path.is_dir():
      shutil.rmtree(path)
    elif path.name != LOCK:
      path.unlink()


def _marker(folder: Path, task: str) -> Path:
  return folder / _MARKERS / f"{task}.json"


def _as_json(value: Any) -> Any:
  """The value as it comes back from a file: lists for tuples."""
  return json.loads(json.dumps(value))


def _check_request(
    folder: Path, request: Mapping[str, Any], ignored: Collection[str]
) -> None:
  """Writes the request, or raises UserError if another one is there."""
  path = folder / REQUEST
  try:
    there = json.loads(path.read_text(encoding="utf-8"))
  except FileNotFoundError:
    # The request is written first: files without one have no known origin.
    write_whole(path, json.dumps(request, indent=1) + "\n")
    return
  except ValueError:
    raise UserError(
        f"{path}: is damaged. Delete {folder} to start again."
    ) from None
  if difference := differences(there, _as_json(request), ignored):
    raise UserError(
        f"{folder} holds unfinished work of other settings: {difference}. Use"
        " the old settings to continue it, choose another --out, or delete that"
        " folder."
    )
