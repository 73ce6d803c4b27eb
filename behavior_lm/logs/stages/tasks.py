"""Tasks that a killed run need not repeat.

A task writes files and then one record, atomically, of what it found and of
its files' sizes and hashes. A task with a record whose files are as recorded
is finished. No task needs another one's memory, so that several processes, or
machines with one disk, can share them out.
"""

from collections.abc import Sequence
import dataclasses
import json
import os
import pathlib
from typing import Any

from behavior_lm.logs import checksum

_RECORDS = "done"


@dataclasses.dataclass(frozen=True)
class Output:
  """A file that a task wrote, by its name in the work folder."""

  name: str
  bytes: int
  sha256: str


def output(work: pathlib.Path, path: pathlib.Path, sha256: str = "") -> Output:
  """Describes a file; hashes it unless the hash is known."""
  return Output(
      path.relative_to(work).as_posix(),
      path.stat().st_size,
      sha256 or checksum.sha256(path),
  )


def finish(
    work: pathlib.Path,
    task: str,
    result: dict[str, Any],
    outputs: Sequence[Output],
) -> dict[str, Any]:
  """Records that a task is finished.

  Args:
    work: folder of all tasks.
    task: its name.
    result: what it found, as JSON.
    outputs: its files.

  Returns:
    The result as `finished` will return it.
  """
  record = {
      "result": result,
      "outputs": [dataclasses.asdict(file) for file in outputs],
  }
  path = _path(work, task)
  path.parent.mkdir(exist_ok=True)
  text = json.dumps(record)
  # Two processes may do the same task where one was thought dead.
  temporary = path.with_suffix(f".{os.getpid()}")
  temporary.write_text(text, encoding="utf-8")
  temporary.replace(path)
  found: dict[str, Any] = json.loads(text)["result"]
  return found


def finished(work: pathlib.Path, task: str) -> dict[str, Any] | None:
  """The result of a task, or None where there is work left to do."""
  try:
    record = json.loads(_path(work, task).read_text(encoding="utf-8"))
    outputs = [Output(**file) for file in record["outputs"]]
    result: dict[str, Any] = record["result"]
  except (OSError, ValueError, KeyError, TypeError):
    return None
  for file in outputs:
    path = work / file.name
    if not path.is_file() or path.stat().st_size != file.bytes:
      return None
    if checksum.sha256(path) != file.sha256:
      return None
  return result


def _path(work: pathlib.Path, task: str) -> pathlib.Path:
  return work / _RECORDS / f"{task}.json"
