"""Opens a log for a downstream task, and prepares it if it is raw."""

from collections.abc import Sequence
import hashlib
from pathlib import Path

from behavior_lm.common import resumable
from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import ingest
from behavior_lm.logs.dataset import Dataset
from behavior_lm.logs.dataset import is_dataset
from behavior_lm.logs.dataset import open_dataset


def open_log(
    logs: str,
    out: Path,
    progress: CommandProgress,
    *,
    extras: Sequence[str] = (),
    timezone: str = "UTC",
) -> Dataset:
  """Opens a prepared dataset, or prepares a log below OUT/data.

  A log that was prepared before, with the same size, time of change and
  options, is not read again.

  Args:
    logs: a dataset folder, or what --logs of experiments/prepare.py takes.
    out: the folder of the task.
    progress: told how far it is.
    extras: numeric columns to keep.
    timezone: of times without an offset.

  Raises:
    UserError: if the log cannot be read.
  """
  path = Path(logs)
  if is_dataset(path):
    return open_dataset(path)
  if not path.exists() and "*" not in logs:
    raise UserError(f"{logs}: no such log or dataset folder.")
  # Two logs may have one name: train/log.csv and test/log.csv.
  place = hashlib.sha256(str(path.absolute()).encode()).hexdigest()[:8]
  folder = out / "data" / place
  target = folder / (path.stem or "log")
  request = [
      str(path.absolute()),
      [
          (file.name, file.stat().st_size, file.stat().st_mtime_ns)
          for file in sorted(path.parent.glob(path.name))
      ],
      list(extras),
      timezone,
  ]
  if resumable.finished(folder, target.name, request=request) is None:
    folder.mkdir(parents=True, exist_ok=True)
    ingest.prepare(
        ingest.Options(
            logs=logs,
            out=str(target),
            extras=tuple(f"{name}:num" for name in extras),
            timezone=timezone,
            overwrite=True,
        ),
        progress,
    )
    resumable.finish(folder, target.name, {}, request=request)
  return open_dataset(target)
