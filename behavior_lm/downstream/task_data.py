"""Logs and labels -> rows of features with labels, for any task."""

from collections.abc import Sequence
import dataclasses
from pathlib import Path

import numpy as np
import polars as pl

from behavior_lm.baselines.history_counts import Builder
from behavior_lm.baselines.history_counts import HistoryFeatures
from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.data.samples import cells
from behavior_lm.data.samples import END_OF_HISTORY
from behavior_lm.data.samples import History
from behavior_lm.data.samples import read_table
from behavior_lm.data.samples import SampleColumns
from behavior_lm.data.samples import Samples
from behavior_lm.data.samples import SampleTable
from behavior_lm.data.samples.sample_columns import BINARY
from behavior_lm.data.samples.sample_columns import LABEL
from behavior_lm.data.samples.sample_columns import MULTI_CLASS
from behavior_lm.data.samples.sample_columns import MULTI_LABEL
from behavior_lm.data.samples.sample_columns import REGRESSION
from behavior_lm.data.samples.table import times_of
from behavior_lm.downstream import leaks
from behavior_lm.downstream.tasks import LOG_END
from behavior_lm.downstream.tasks import Task
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class Part:
  """Rows of one log: all of them, or those of train or of test given apart.

  Attributes:
    dataset: the prepared log.
    table: its labelled rows with a history and a label.
    samples: the same rows with their histories.
    notes: what a person should know of the rows.
  """

  dataset: Dataset
  table: SampleTable
  samples: Samples
  notes: list[str]

  def __len__(self) -> int:
    return len(self.table)


@dataclasses.dataclass(frozen=True)
class TaskData:
  """Rows in the order of their parts.

  Attributes:
    task: of the rows.
    parts: one, or train and test.
    labels: [n] int (0 and 1, or numbers of classes) or float64; [n, labels]
      int for multi_label.
    classes: names of the classes or labels; empty for binary and regression.
    features: see `HistoryFeatures`.
    part_of_row: [n] int.
  """

  task: Task
  parts: list[Part]
  labels: np.ndarray
  classes: list[str]
  features: HistoryFeatures
  part_of_row: np.ndarray

  @property
  def users(self) -> list[str]:
    """[n] user ids."""
    return [
        user
        for part in self.parts
        for user in part.table.frame[schema.USER_ID].to_list()
    ]


def read_part(dataset: Dataset, labels: str, task: Task) -> Part:
  """Matches a label table with a log.

  Raises:
    UserError: if the table cannot be read or has no usable row.
  """
  history = History(dataset)
  label = task.label or _only_binary(labels)
  columns = SampleColumns(
      labels={label: task.kind}, time=task.time, timezone="UTC"
  )
  table = read_table(labels, columns, history, empty_history="drop")
  missing = table.frame[LABEL + label].is_null()
  frame = table.frame.filter(~missing)
  if not frame.height:
    raise UserError(f"{labels}: no row has a value of {label!r}.")
  table = dataclasses.replace(table, frame=frame)
  notes = _notes(table, int(missing.sum()), labels)
  excluded = []
  if task.sources:
    known = set(history.pairs[schema.EVENT_ID])
    excluded = [event for event in task.sources if event in known]
  # Labels are encoded below; samples carry the histories alone.
  bare = dataclasses.replace(
      table, columns=dataclasses.replace(columns, labels={})
  )
  return Part(
      dataset, table, Samples(bare, history, excluded_events=excluded), notes
  )


def gather(
    parts: Sequence[Part],
    task: Task,
    progress: CommandProgress,
    extras: Sequence[str] = (),
) -> TaskData:
  """Counts the histories of all rows, each up to its own time.

  Args:
    parts: one, or train and test.
    task: of the rows.
    progress: told how far it is.
    extras: numeric columns of the logs.

  Raises:
    UserError: if the rows cannot be learned from: one class only, an event
      after the time of its row, or a numeric column that a log lacks.
  """
  labels, classes = _encode(parts, task.kind)
  kinds = pl.concat([part.dataset.pairs.select(*_PAIR) for part in parts])
  kinds = kinds.unique(maintain_order=True).with_row_index("code")
  builder = Builder(kinds.height, extras)
  total, done = sum(map(len, parts)), 0
  for part in parts:
    _check_extras(part.dataset, extras)
    code = part.dataset.pairs.join(
        kinds, on=_PAIR, how="left", maintain_order="left"
    )["code"].to_numpy()
    end_of_log = _end_of_log(part) if task.days_back_from == LOG_END else 0
    times = times_of(part.table.frame)
    for sample, time in zip(part.samples, times, strict=True):
      stamps = sample[schema.TIMESTAMP]
      leaks.check_before(stamps, int(time), sample[schema.USER_ID])
      end = int(time)
      if end == END_OF_HISTORY:
        end = end_of_log or int(stamps[-1]) + 1
      builder.add(
          code[sample["pair"]],
          stamps,
          end,
          {name: sample[name] for name in extras},
      )
      done += 1
      progress.stage("counting histories", done, total)
  return TaskData(
      task,
      list(parts),
      labels,
      classes,
      builder.build(),
      np.repeat(np.arange(len(parts)), [len(part) for part in parts]),
  )


_PAIR = [schema.EVENT_ID, schema.DESIGN_ID]


def _end_of_log(part: Part) -> int:
  """One microsecond after the last event of the histories."""
  return 1 + max(int(s[schema.TIMESTAMP][-1]) for s in part.samples)


def _check_extras(dataset: Dataset, extras: Sequence[str]) -> None:
  numeric = [
      name
      for name, extra in dataset.extras.items()
      if extra.kind == schema.NUMERIC
  ]
  for name in extras:
    if name not in numeric:
      raise UserError(
          f"--extras {name}: {dataset.path} has no numeric column of that name"
          f" ({', '.join(numeric) or 'none'})."
      )


def _only_binary(path: str) -> str:
  """The only column of 0 and 1 in a label table."""
  table = cells.read_file(Path(path), as_text=True)
  found = []
  for name in table.columns:
    numbers, bad = cells.binary(table[name])
    if name != schema.USER_ID and not bad.any() and numbers.count():
      found.append(name)
  if len(found) != 1:
    raise UserError(
        f"{path}: {len(found)} columns hold 0 and 1 alone"
        f" ({', '.join(found) or 'none'}). Name the label with --label."
    )
  return found[0]


def _notes(table: SampleTable, missing: int, name: str) -> list[str]:
  found = table.summary
  lines = [
      (found["unknown_users"], "users of the labels are not in the log"),
      (found["users_without_rows"], "users of the log have no label"),
      (found["duplicate_rows"], "rows repeat another one; they count once"),
      (found["contradicting_rows"], "rows contradict each other, left out"),
      (
          found["rows_before_first_event"],
          "rows are not later than their user's first event, left out",
      ),
      (missing, "rows have no value of the label, left out"),
      (
          sum(found["quarantined"].values()) - found["contradicting_rows"],
          "rows are unreadable, left out",
      ),
  ]
  file = name.rpartition("/")[2]
  return [f"{file}: {count:,} {text}" for count, text in lines if count]


def _encode(
    parts: Sequence[Part], kind: str
) -> tuple[np.ndarray, list[str]]:
  """Labels of all parts, and the names of classes."""
  label = LABEL + next(iter(parts[0].table.columns.labels))
  values = pl.concat([part.table.frame[label] for part in parts])
  name = label.removeprefix(LABEL)
  if kind == REGRESSION:
    numbers = values.to_numpy()
    if np.ptp(numbers) == 0:
      raise UserError(f"label {name!r}: every row has {numbers[0]:g}.")
    return numbers, []
  if kind == BINARY:
    codes = values.to_numpy().astype(np.int64)
    if len(np.unique(codes)) < 2:
      raise UserError(
          f"label {name!r}: all {len(codes):,} rows have {codes[0]}. A binary"
          " task needs rows with 0 and rows with 1."
      )
    return codes, []
  if kind == MULTI_CLASS:
    classes = values.unique().sort().to_list()
    if len(classes) < 2:
      raise UserError(
          f"label {name!r}: all {len(values):,} rows have {classes[0]!r}. A"
          " multi-class task needs at least two classes."
      )
    number = {value: code for code, value in enumerate(classes)}
    return np.array([number[value] for value in values]), classes
  assert kind == MULTI_LABEL
  classes = values.explode().drop_nulls().unique().sort().to_list()
  if not classes:
    raise UserError(f"label {name!r}: no row has any label.")
  table = np.zeros((len(values), len(classes)), np.int64)
  number = {value: code for code, value in enumerate(classes)}
  for row, found in enumerate(values):
    table[row, [number[value] for value in found]] = 1
  return table, classes
