"""Fits the rows of a table on every split, and keeps what is finished."""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
from pathlib import Path
import re
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common import resumable
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file
from behavior_lm.data.samples import SampleTable
from behavior_lm.data.samples import splits as sample_splits
from behavior_lm.data.samples.sample_columns import BINARY
from behavior_lm.data.samples.sample_columns import MULTI_CLASS
from behavior_lm.data.samples.sample_columns import MULTI_LABEL
from behavior_lm.data.samples.table import times_of
from behavior_lm.downstream import blocks as block_lib
from behavior_lm.downstream import leaks
from behavior_lm.downstream import models
from behavior_lm.downstream.blocks import Block
from behavior_lm.downstream.blocks import Row
from behavior_lm.logs import schema

BY_USER, BY_TIME, BY_BOTH = "user", "time", "user_time"
SPLITS = (BY_USER, BY_TIME, BY_BOTH)


@dataclasses.dataclass(frozen=True)
class Split:
  """Rows to fit on and rows to test, both ascending row numbers.

  Attributes:
    repetition: place of the seed among the seeds.
    seed: of the folds and of the models.
    fold: 0 to the number of folds - 1.
    train, test: row numbers.
  """

  repetition: int
  seed: int
  fold: int
  train: np.ndarray
  test: np.ndarray


@dataclasses.dataclass(frozen=True)
class Scores:
  """What a row of the table predicted; see `classification.Predictions`."""

  scores: np.ndarray
  decisions: np.ndarray
  folds: np.ndarray
  seconds: float = 0.0


def make_splits(
    table: SampleTable,
    by: str,
    *,
    num_folds: int,
    seeds: Sequence[int],
    split_time: int | None = None,
) -> list[Split]:
  """Splits of one table, checked for leaks.

  Args:
    table: of one label.
    by: BY_USER: stratified folds of users. BY_TIME: rows before and from the
      split time on. BY_BOTH: folds of users, of which a fold trains on rows
      before that time and tests rows from it on.
    num_folds: of users.
    seeds: one repetition each.
    split_time: microseconds UTC; needed by all but BY_USER.

  Raises:
    UserError: if a side would be empty or a class has too few users.
  """
  if by not in SPLITS:
    raise UserError(f"--split {by!r}; choose one of {', '.join(SPLITS)}.")
  if by != BY_USER and split_time is None:
    raise UserError(f"--split {by} needs --split_time.")
  label, kind = next(iter(table.columns.labels.items()))
  stratify = label if kind in (BINARY, MULTI_CLASS) else ""
  if kind == BINARY and by != BY_TIME:
    _check_classes(table, label, num_folds)
  users = table.frame[schema.USER_ID].to_numpy()
  late = None
  if by != BY_USER:
    assert split_time is not None
    late = sample_splits.by_time(table, split_time)
  found = []
  for repetition, seed in enumerate(seeds):
    folds: list[sample_splits.Sides]
    if by == BY_TIME:
      assert late is not None
      folds = [late]
    else:
      folds = sample_splits.folds(
          table, num_folds, seed=seed, stratify=stratify
      )
    for fold, sides in enumerate(folds):
      train, test = sides["train"], sides["test"]
      if by == BY_BOTH:
        assert late is not None
        train = np.intersect1d(train, late["train"])
        test = np.intersect1d(test, late["test"])
        if not len(train) or not len(test):
          raise UserError(
              f"fold {fold} has {len(train)} rows before the split time and"
              f" {len(test)} from it on. Choose another --split_time."
          )
      if by != BY_TIME:
        leaks.check_users(train, test, users)
      if by != BY_USER:
        leaks.check_times(train, test, times_of(table.frame))
      found.append(Split(repetition, seed, fold, train, test))
  return found


def given_apart(
    part_of_row: np.ndarray, users: Sequence[str], seeds: Sequence[int]
) -> list[Split]:
  """One split per seed: part 0 trains, part 1 is tested."""
  train, test = np.flatnonzero(part_of_row == 0), np.flatnonzero(part_of_row)
  leaks.check_users(train, test, np.asarray(users))
  return [
      Split(place, seed, 0, train, test) for place, seed in enumerate(seeds)
  ]


def smaller(
    table: SampleTable, found: Sequence[Split], sizes: Sequence[int]
) -> dict[int, list[Split]]:
  """Returns the splits with smaller, nested sets of training rows.

  Returns:
    {size: splits}; sizes that a split does not reach are left out.
  """
  label, kind = next(iter(table.columns.labels.items()))
  stratify = label if kind in (BINARY, MULTI_CLASS) else ""
  out: dict[int, list[Split]] = {}
  for split in found:
    subsets = sample_splits.train_sizes(
        table, split.train, sizes, seed=split.seed, stratify=stratify
    )
    for size in sizes:
      if size in subsets and size < len(split.train):
        out.setdefault(size, []).append(
            dataclasses.replace(split, train=subsets[size])
        )
  return {
      size: parts for size, parts in out.items() if len(parts) == len(found)
  }


def score_row(
    row: Row,
    blocks: Mapping[str, Block],
    kind: str,
    labels: np.ndarray,
    found: Sequence[Split],
    *,
    num_classes: int = 0,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Scores:
  """Fits a row on each split and scores what the split tests."""
  repetitions = 1 + max(split.repetition for split in found)
  shape: tuple[int, ...] = (repetitions, len(labels))
  folds = np.full(shape, -1, np.int64)
  decisions = np.zeros(shape, bool)
  if kind in (MULTI_CLASS, MULTI_LABEL):
    shape = (*shape, num_classes)
  scores = np.zeros(shape, np.float32)
  for place, split in enumerate(found):
    watch(place, len(found))
    matrix = block_lib.join(blocks, row.blocks, split.train)
    one = models.fit_and_score(
        row.model,
        kind,
        matrix[split.train],
        labels[split.train],
        matrix[split.test],
        num_classes=num_classes,
        seed=split.seed,
    )
    scores[split.repetition, split.test] = one.scores
    folds[split.repetition, split.test] = split.fold
    if kind == BINARY:
      decisions[split.repetition, split.test] = one.scores >= one.threshold
  return Scores(scores, decisions, folds)


def saved_scores(folder: Path, name: str, request: Any) -> Scores | None:
  """The scores of a row that was finished for the same request."""
  task = file_name(name)
  result = resumable.finished(folder, task, request=request)
  if result is None:
    return None
  with np.load(folder / f"{task}.npz") as file:
    return Scores(
        file["scores"], file["decisions"], file["folds"], result["seconds"]
    )


def save_scores(folder: Path, name: str, found: Scores, request: Any) -> None:
  """Writes the scores of a row; a fine-tuned run saves its own by this."""
  task = file_name(name)
  path = folder / f"{task}.npz"
  with whole_file(path) as temporary, temporary.open("wb") as file:
    np.savez_compressed(
        file,
        scores=found.scores,
        decisions=found.decisions,
        folds=found.folds,
    )
  resumable.finish(
      folder,
      task,
      {"seconds": found.seconds},
      [resumable.output(folder, path)],
      request=request,
  )


def file_name(name: str) -> str:
  """The name of a row as the name of a file."""
  return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _check_classes(table: SampleTable, label: str, num_folds: int) -> None:
  by_class = table.frame.group_by(f"label/{label}").agg(
      pl.col(schema.USER_ID).n_unique()
  ).sort(f"label/{label}")
  for value, users in by_class.iter_rows():
    if users < num_folds:
      raise UserError(
          f"label {label!r}: {users} users have {value}, and {num_folds} folds"
          f" take at least {num_folds} of each. Choose fewer --folds."
      )

