"""Next map, shop or item: rows from the log, ranked by Markov chains."""

from collections.abc import Sequence
import dataclasses

import numpy as np

from behavior_lm.baselines import markov
from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.data.samples import History
from behavior_lm.data.samples import rows_from_log
from behavior_lm.data.samples import Samples
from behavior_lm.data.samples import SampleTable
from behavior_lm.data.samples.sample_columns import LABEL
from behavior_lm.data.samples.table import times_of
from behavior_lm.downstream import leaks
from behavior_lm.downstream.cross_validation import Scores
from behavior_lm.downstream.cross_validation import Split
from behavior_lm.downstream.tasks import Task
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset

ORDER = 3


@dataclasses.dataclass(frozen=True)
class NextItems:
  """Rows of a next-item task, sorted by user and time.

  Attributes:
    table: of `rows_from_log`.
    samples: their histories, without the events that announce the answer.
    labels: [n] int, numbers of classes.
    classes: names of the classes.
    columns: {name: [n] int}, what contexts of chains are made of: the labels
      before, the user, and the event just before.
  """

  table: SampleTable
  samples: Samples
  labels: np.ndarray
  classes: list[str]
  columns: dict[str | int, np.ndarray]


def read_next_items(
    dataset: Dataset, task: Task, progress: CommandProgress
) -> NextItems:
  """Makes a row of every event of the task.

  Raises:
    UserError: if the log has no such event, or all have one design id.
  """
  history = History(dataset)
  progress.show("reading the rows from the log")
  table = rows_from_log(history, task.events, label=task.label)
  values = table.frame[LABEL + task.label]
  classes = values.unique().sort().to_list()
  if len(classes) < 2:
    raise UserError(
        f"{dataset.path}: all events {', '.join(task.events)} have the design"
        f" id {classes[0]!r}; there is nothing to rank."
    )
  number = {value: code for code, value in enumerate(classes)}
  labels = np.array([number[value] for value in values])
  users = table.frame[schema.USER_ID].rank("dense").to_numpy().astype(np.int64)
  times = times_of(table.frame)
  before = markov.previous_labels(users, times, labels, ORDER)
  columns: dict[str | int, np.ndarray] = dict(enumerate(before.T))
  columns[markov.USER] = users
  known = set(history.pairs[schema.EVENT_ID])
  samples = _samples(table, history, task.sources, known)
  own = _samples(table, history, (*task.events, *task.sources), known, 1)
  last = np.full(len(table), markov.NONE, np.int64)
  for row, (sample, time) in enumerate(zip(own, times, strict=True)):
    leaks.check_before(
        sample[schema.TIMESTAMP], int(time), sample[schema.USER_ID]
    )
    if len(sample["pair"]):
      last[row] = sample["pair"][-1]
    progress.stage("reading histories", row, len(table))
  columns[markov.EVENT] = last
  return NextItems(table, samples, labels, classes, columns)


def _samples(
    table: SampleTable,
    history: History,
    excluded: Sequence[str],
    known: set[str],
    max_events: int | None = None,
) -> Samples:
  bare = dataclasses.replace(
      table, columns=dataclasses.replace(table.columns, labels={})
  )
  return Samples(
      bare,
      history,
      max_events=max_events,
      excluded_events=[event for event in excluded if event in known],
  )


def score_chain(
    name: str, data: NextItems, found: Sequence[Split]
) -> Scores:
  """Probabilities of a chain of `markov.CHAINS` on the tested rows.

  Chains have no seed: repetitions with the same split are scored once.
  """
  repetitions = 1 + max(split.repetition for split in found)
  shape = (repetitions, len(data.labels))
  scores = np.zeros((*shape, len(data.classes)), np.float32)
  folds = np.full(shape, -1, np.int64)
  for split in found:
    scores[split.repetition, split.test] = markov.chain_probabilities(
        markov.CHAINS[name],
        data.columns,
        data.labels,
        split.train,
        split.test,
        len(data.classes),
    )
    folds[split.repetition, split.test] = split.fold
  return Scores(scores, np.zeros(shape, bool), folds)
