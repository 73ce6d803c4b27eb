"""A downstream table from logs and labels, row by row, resumable."""

from collections.abc import Callable, Sequence
import dataclasses
import hashlib
import json
from pathlib import Path
import time
from typing import Any

import numpy as np

from behavior_lm.artifacts.commands import this_command
from behavior_lm.baselines import aggregates
from behavior_lm.baselines import markov
from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.data.samples.sample_columns import BINARY
from behavior_lm.downstream import blocks as block_lib
from behavior_lm.downstream import cross_validation as cv
from behavior_lm.downstream import leaks
from behavior_lm.downstream import next_item
from behavior_lm.downstream import results
from behavior_lm.downstream import task_data
from behavior_lm.downstream.blocks import Row
from behavior_lm.downstream.task_data import TaskData
from behavior_lm.downstream.tasks import Task
from behavior_lm.evaluation import classification
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset

SVD_WIDTH = 128
ROWS = "rows"
CURVE_ROWS = (
    "event counts, logistic",
    "event counts, forest",
    "vectors, logistic",
    "vectors, forest",
)
_HOUR_NOTE = "the time says how rows were drawn, not how users behave"
_COLUMN_NOTE = "check that it is known at the time of the row"
# [n, embed_dim] vectors and [n, columns] surprise or None, of all rows.
RunFeatures = tuple[np.ndarray, np.ndarray | None]


@dataclasses.dataclass(frozen=True)
class Settings:
  """What decides a table beside its data.

  Attributes:
    split: one of `cross_validation.SPLITS`.
    folds, seeds: of the cross-validation.
    split_time: microseconds UTC, or None.
    extras: numeric columns of the log that are declared as features.
    hours: declare the hours of the day as features.
    train_sizes: sizes of the train-size curve; none if empty.
    rows: substrings of the names of the rows to make; all if empty.
  """

  split: str = cv.BY_USER
  folds: int = 5
  seeds: tuple[int, ...] = (0, 1, 2)
  split_time: int | None = None
  extras: tuple[str, ...] = ()
  hours: bool = False
  train_sizes: tuple[int, ...] = ()
  rows: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    if self.folds < 2:
      raise UserError(f"--folds {self.folds}; it must be at least 2.")
    if not self.seeds or len(set(self.seeds)) < len(self.seeds):
      raise UserError("--seeds: give different numbers, for example 0,1,2.")


def run_table(
    data: TaskData,
    settings: Settings,
    out: Path,
    progress: CommandProgress,
    *,
    run_features: RunFeatures | None = None,
    run: str = "",
) -> dict[str, Any]:
  """Makes the record of a task with a label table.

  Args:
    data: rows with features and labels.
    settings: of the table.
    out: the folder that keeps the scores of finished rows.
    progress: told which fit runs.
    run_features: of a run, or None for baselines alone.
    run: its name.

  Returns:
    The record of `artifacts.downstream`.
  """
  kind, users = data.task.kind, np.asarray(data.users)
  found = _splits(data, settings)
  vectors, surprise = run_features or (None, None)
  width = SVD_WIDTH if vectors is None else vectors.shape[1]
  blocks = block_lib.make_blocks(
      data.features, width=width, vectors=vectors, surprise=surprise
  )
  declared = [block_lib.HOURS] * settings.hours
  declared += [block_lib.EXTRAS] * bool(settings.extras)
  rows = block_lib.baseline_rows(declared)
  if vectors is not None:
    rows += block_lib.run_rows(surprise is not None)
  rows = _chosen(rows, settings.rows)
  request = _request(data, settings, run, vectors, surprise)
  truth = results.Truth(kind, data.labels, users)

  def score(row: Row, splits: Sequence[cv.Split], name: str) -> cv.Scores:
    def fit() -> cv.Scores:
      return cv.score_row(
          row, blocks, kind, data.labels, splits,
          num_classes=len(data.classes),
          watch=lambda done, total: progress.stage(name, done, total),
      )

    return _once(out / ROWS, name, request, fit)

  scores = {row.name: (row.group, score(row, found, row.name)) for row in rows}
  curve = []
  if settings.train_sizes and len(data.parts) == 1:
    sizes = cv.smaller(data.parts[0].table, found, settings.train_sizes)
    for size, splits in sizes.items():
      for row in rows:
        if row.name in CURVE_ROWS:
          at = score(row, splits, f"{row.name} at {size}")
          curve.append(results.curve_row(size, row.name, truth, at))
  progress.show("resampling users")
  table, best = results.make_rows(truth, scores)
  return {
      "task": data.task.name,
      "label": next(iter(data.parts[0].table.columns.labels)),
      "kind": kind,
      "data": " and ".join(p.dataset.path.name for p in data.parts),
      "main": classification.MAIN[kind],
      "metrics": list(table[0]["metrics"]),
      "rows": table,
      "best_baseline": best,
      "curve": curve,
      "suspicions": [one.text() for one in suspicions(data)],
      "notes": [note for part in data.parts for note in part.notes],
      "num_rows": len(data.labels),
      "num_users": len(set(data.users)),
      "split": "files" if len(data.parts) > 1 else settings.split,
      "folds": 1 + max(split.fold for split in found),
      "seeds": list(settings.seeds),
      "config_hash": _hash(request),
      "run": run,
      "command": this_command(),
  }


def run_next_items(
    dataset: Dataset,
    task: Task,
    settings: Settings,
    out: Path,
    progress: CommandProgress,
) -> dict[str, Any]:
  """Makes the record of a next-item task: chains on the rows of the log."""
  data = next_item.read_next_items(dataset, task, progress)
  users = data.table.frame[schema.USER_ID].to_numpy()
  seeds = settings.seeds if settings.split != cv.BY_TIME else (0,)
  if settings.split != cv.BY_USER and settings.split_time is None:
    settings = dataclasses.replace(
        settings, split_time=default_split_time(data.table)
    )
  found = cv.make_splits(
      data.table,
      settings.split,
      num_folds=settings.folds,
      seeds=seeds,
      split_time=settings.split_time,
  )
  request = {
      "data": dataset.meta["fingerprint"],
      "task": dataclasses.asdict(task),
      "settings": dataclasses.asdict(settings),
  }
  truth = results.Truth(task.kind, data.labels, users)
  names = [
      name for name in markov.CHAINS
      if not settings.rows or any(text in name for text in settings.rows)
  ]
  scores = {}
  for place, name in enumerate(names):
    progress.stage(name, place, len(names))
    # Scores of all classes would fill the disk, and chains take seconds.
    started = time.monotonic()
    one = next_item.score_chain(name, data, found)
    one = dataclasses.replace(one, seconds=time.monotonic() - started)
    scores[name] = (block_lib.BASELINE, one)
  table, best = results.make_rows(truth, scores)
  tested = sum(len(split.test) for split in found) // len(seeds)
  summary = data.table.summary
  return {
      "task": task.name,
      "label": task.label,
      "kind": task.kind,
      "data": dataset.path.name,
      "main": classification.MAIN[task.kind],
      "metrics": list(table[0]["metrics"]),
      "rows": table,
      "best_baseline": best,
      "curve": [],
      "suspicions": [],
      "notes": [
          f"{tested:,} rows are tested among {len(data.classes)} classes",
          f"{summary['tied_rows']:,} rows share their time with another one of"
          " their user; rows at one time do not see each other",
          "chains have no seed; a split by time has one repetition",
      ],
      "num_rows": len(data.labels),
      "num_users": len(set(users.tolist())),
      "split": settings.split,
      "folds": 1 + max(split.fold for split in found),
      "seeds": list(seeds),
      "config_hash": _hash(request),
      "run": "",
      "command": this_command(),
  }


def suspicions(data: TaskData) -> list[leaks.Suspicion]:
  """Columns that separate the classes alone; none but for binary labels.

  Dates, hours and lengths are looked at although no row of the table reads
  the date: what they separate, features of time may separate by accident.
  """
  if data.task.kind != BINARY:
    return []
  features = data.features
  time_of_day = features.first % aggregates.DAY
  times = {
      "the date of the first event": features.first,
      "the date of the last event": features.last,
      "the hour of the first event": time_of_day,
  }
  columns = results.separable(aggregates.NAMES, features.aggregates)
  columns |= results.separable(features.extra_names, features.extras)
  return leaks.suspicious(
      data.labels, times, leaks.SUSPICIOUS_TIME, _HOUR_NOTE
  ) + leaks.suspicious(
      data.labels, columns, leaks.SUSPICIOUS_FEATURE, _COLUMN_NOTE
  )


def default_split_time(table: Any) -> int:
  """The time from which on the last quarter of the rows is tested."""
  times = np.sort(task_data.times_of(table.frame))
  return int(times[int(0.75 * len(times))])


def _splits(data: TaskData, settings: Settings) -> list[cv.Split]:
  if len(data.parts) == 2:
    return cv.given_apart(data.part_of_row, data.users, settings.seeds)
  return cv.make_splits(
      data.parts[0].table,
      settings.split,
      num_folds=settings.folds,
      seeds=settings.seeds,
      split_time=settings.split_time,
  )


def _chosen(rows: list[Row], wanted: Sequence[str]) -> list[Row]:
  if not wanted:
    return rows
  found = [row for row in rows if any(text in row.name for text in wanted)]
  if not any(row.group == block_lib.BASELINE for row in found):
    raise UserError(
        f"--rows {','.join(wanted)}: no baseline is among them; there are"
        f" {'; '.join(row.name for row in rows)}."
    )
  return found


def _request(
    data: TaskData,
    settings: Settings,
    run: str,
    vectors: np.ndarray | None,
    surprise: np.ndarray | None,
) -> dict[str, Any]:
  """JSON that decides the scores of every row."""
  keys = dataclasses.asdict(settings)
  # Which rows are made does not change them.
  del keys["rows"], keys["train_sizes"]
  digest = hashlib.sha256(np.ascontiguousarray(data.labels).tobytes())
  digest.update("\n".join(data.users).encode())
  for values in (vectors, surprise):
    if values is not None:
      digest.update(np.ascontiguousarray(values).tobytes())
  return {
      "data": [part.dataset.meta["fingerprint"] for part in data.parts],
      "rows": digest.hexdigest(),
      "task": dataclasses.asdict(data.task),
      "settings": keys,
      "run": run,
  }


def _hash(request: Any) -> str:
  text = json.dumps(request, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()[:12]


def _once(
    folder: Path, name: str, request: Any, fit: Callable[[], cv.Scores]
) -> cv.Scores:
  """The saved scores of a row, or those that `fit` makes now."""
  folder.mkdir(parents=True, exist_ok=True)
  there = cv.saved_scores(folder, name, request)
  if there is not None:
    return there
  started = time.monotonic()
  found = fit()
  found = dataclasses.replace(found, seconds=time.monotonic() - started)
  cv.save_scores(folder, name, found, request)
  return found


