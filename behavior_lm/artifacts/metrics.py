"""Metrics of a run: averaged over windows, to JSONL and TensorBoard."""

from collections.abc import Mapping
import json
import logging
from pathlib import Path
from typing import Any

from behavior_lm.artifacts.json_files import damage_named
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole


class Window:
  """Means of step metrics since the last log line; survives a resume.

  Steps whose update was refused count in `skipped` alone: their loss may be no
  number.
  """

  def __init__(self, content: Mapping[str, Any] | None = None) -> None:
    self.count = int(content["count"]) if content else 0
    self.skipped = int(content["skipped"]) if content else 0
    self.sums = dict(content["sums"]) if content else {}

  def add(self, metrics: Mapping[str, Any], *, skipped: bool = False) -> None:
    if skipped:
      self.skipped += 1
      return
    self.count += 1
    for name, value in metrics.items():
      self.sums[name] = self.sums.get(name, 0.0) + float(value)

  def means(self) -> dict[str, float]:
    found = {name: total / self.count for name, total in self.sums.items()}
    return found | ({"skipped": self.skipped} if self.skipped else {})

  def to_json(self) -> dict[str, Any]:
    return {
        "count": self.count,
        "skipped": self.skipped,
        "sums": dict(self.sums),
    }


class MetricWriter:
  """Appends to `metrics.jsonl` and TensorBoard event files of a run folder."""

  def __init__(self, folder: str | Path, *, resume_step: int = 0) -> None:
    # tensorboardX imports torch wherever torch is installed; only a run that
    # writes metrics pays for that.
    from tensorboardX import SummaryWriter

    folder = Path(folder)
    self.path = folder / "metrics.jsonl"
    drop_after(self.path, resume_step)
    self._file = self.path.open("a", encoding="utf-8")
    # Event files have a purge step for the same purpose.
    self._board = SummaryWriter(
        str(folder / "tensorboard"), purge_step=resume_step + 1
    )

  def write(self, step: int, values: Mapping[str, float]) -> None:
    line = {"step": step, **{k: float(v) for k, v in values.items()}}
    self._file.write(json.dumps(line) + "\n")
    self._file.flush()
    for name, value in values.items():
      self._board.add_scalar(name, value, step)

  def close(self) -> None:
    self._file.close()
    self._board.close()


def drop_after(path: Path, step: int) -> None:
  """Removes lines after a step: a killed run wrote them, they come again."""
  if not path.exists():
    return
  kept = []
  for line in path.read_text(encoding="utf-8").splitlines():
    try:
      if json.loads(line)["step"] <= step:
        kept.append(line)
    except (json.JSONDecodeError, KeyError, TypeError):
      continue  # the line that the kill cut off
  write_whole(path, "".join(f"{line}\n" for line in kept))


def read_metrics(path: str | Path) -> list[dict[str, float]]:
  """The lines of a `metrics.jsonl`, in order; values may be NaN or infinite.

  A last line without its line end is left out: a run that was killed, or is
  running, has not finished it.

  Raises:
    UserError: if the file cannot be read or a line holds no metrics.
  """
  try:
    text = Path(path).read_text(encoding="utf-8")
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{path}: cannot be read ({error}).") from error
  out = []
  for number, line in enumerate(text.split("\n")[:-1], 1):
    with damage_named(f"{path}, line {number}"):
      content = json.loads(line)
      values = {str(key): float(value) for key, value in content.items()}
      out.append({**values, "step": int(content["step"])})
  return out


def run_logger(folder: str | Path) -> logging.Logger:
  """A logger to `train.log` in the run folder (the screen has its own)."""
  logger = logging.getLogger(f"behavior_lm.run.{Path(folder).absolute()}")
  logger.setLevel(logging.INFO)
  logger.propagate = False
  if not logger.handlers:
    handler = logging.FileHandler(Path(folder) / "train.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
  return logger
