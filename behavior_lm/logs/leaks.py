"""Reads a finished dataset and looks for what crosses its splits.

`splits.check_leaks` looks at the table of sequences while it is written. Here
the examples themselves are read, as a model will read them, and compared with
what dataset.json says about the splits.
"""

from collections.abc import Iterable
import dataclasses

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import dataset as dataset_lib
from behavior_lm.logs import schema
from behavior_lm.logs import splits
from behavior_lm.logs.readers import timestamps

# So many leaks are named; the others are counted.
_SHOWN = 5


@dataclasses.dataclass
class Leaks:
  """What was read, and what is wrong with it.

  Attributes:
    num_sequences: sequences that were read.
    num_events: events in them.
    num_users: different users in them.
    messages: one line for each leak.
  """

  num_sequences: int = 0
  num_events: int = 0
  num_users: int = 0
  messages: list[str] = dataclasses.field(default_factory=list)


def check_dataset_leaks(
    dataset: dataset_lib.Dataset, progress: CommandProgress | None = None
) -> Leaks:
  """Raises UserError if a user or a later event crosses the splits.

  Args:
    dataset: a finished dataset.
    progress: told how far it is.

  Returns:
    How much was read.

  Raises:
    UserError: names the users, sequences and times that cross.
  """
  found = find_leaks(dataset, progress)
  if not found.messages:
    return found
  shown = "\n".join(f"  {text}" for text in found.messages[:_SHOWN])
  more = len(found.messages) - _SHOWN
  if more > 0:
    shown += f"\n  and {more:,} more"
  raise UserError(
      f"{dataset.path}: its splits leak:\n{shown}\nA score on such a dataset"
      " says nothing. Make it again with experiments/prepare.py."
  )


def find_leaks(
    dataset: dataset_lib.Dataset, progress: CommandProgress | None = None
) -> Leaks:
  """Reads every example and lists what crosses.

  A leak is a user who is both held out and not, or on the other side than the
  seed of the dataset puts them; an event of the later days in an early split
  or the other way round; a sequence that is not the one that the table of
  sequences has at its place; and counts for the vocabulary that hold more
  than the events of train.

  Args:
    dataset: a finished dataset.
    progress: told how far it is.
  """
  found = Leaks()
  cut = dataset.meta["split_time"]
  moment = (
      None if cut is None else timestamps.parse_moment(cut, "UTC", "split_time")
  )
  # Where each user was seen first, and whether held out there.
  seen: dict[str, tuple[bool, str]] = {}
  train_counts = np.zeros(dataset.pairs.height, np.int64)
  total = sum(part["num_sequences"] for part in dataset.meta["splits"].values())
  for split in dataset.splits:
    held, late = divmod(splits.SPLITS.index(split), 2)
    table = dataset.sequences(split)
    listed = zip(
        table[schema.USER_ID].to_list(),
        table["start"].to_physical().to_list(),
        table["num_events"].to_list(),
        strict=True,
    )
    source = dataset.source(split)
    for index, expected in enumerate(listed):
      example = source[index]
      where = f"{split}[{index}]"
      user, times = example[schema.USER_ID], example[schema.TIMESTAMP]
      found.num_sequences += 1
      found.num_events += len(times)
      if (user, example["start"], len(times)) != expected:
        found.messages.append(
            f"{where}: is not the sequence that {dataset_lib.SEQUENCES_FILE}"
            f" lists there (user {user!r}, listed user {expected[0]!r})"
        )
      held_before, first = seen.setdefault(user, (bool(held), where))
      if held_before != bool(held):
        found.messages.append(
            f"user {user!r} is in {first} and in {where}: held out and not"
        )
      if moment is not None and len(times):
        found.messages += _check_times(where, user, times, moment, bool(late))
      if split == splits.TRAIN:
        train_counts += np.bincount(
            example["pair"], minlength=len(train_counts)
        )
      if progress is not None:
        progress.stage("looking for leaks", found.num_sequences, total)
  found.num_users = len(seen)
  found.messages += _check_users(dataset, seen)
  found.messages += _check_counts(dataset.pairs, train_counts)
  return found


def _check_times(
    where: str, user: str, times: np.ndarray, moment: int, late: bool
) -> Iterable[str]:
  """The first event of a sequence that is on the wrong side of the moment."""
  wrong = np.flatnonzero((times >= moment) != late)
  if len(wrong):
    first = int(wrong[0])
    side = "before" if late else "at or after"
    yield (
        f"{where}: event {first} of user {user!r} is of"
        f" {timestamps.format_moment(int(times[first]))}, {side} the split time"
        f" {timestamps.format_moment(moment)}"
    )


def _check_users(
    dataset: dataset_lib.Dataset, seen: dict[str, tuple[bool, str]]
) -> Iterable[str]:
  """Users on the other side than the seed of the dataset puts them."""
  chosen = splits.heldout_users(
      list(seen),
      fraction=dataset.meta["user_fraction"],
      seed=dataset.meta["seed"],
  )
  for (user, (held, where)), should in zip(seen.items(), chosen, strict=True):
    if held != bool(should):
      side = "held out" if should else "not held out"
      yield (
          f"user {user!r} is in {where}, but by the seed of the dataset they"
          f" are {side}"
      )


def _check_counts(pairs: pl.DataFrame, counts: np.ndarray) -> Iterable[str]:
  """Pairs whose count for the vocabulary is not that of the train events."""
  written = pairs["train_count"].to_numpy()
  wrong = np.flatnonzero(written != counts)
  if len(wrong):
    event, design = pairs.select("event_id", "design_id").row(int(wrong[0]))
    yield (
        f"{dataset_lib.PAIRS_FILE}: train_count of {len(wrong):,} pairs is not"
        f" their number of events in train, first ({event}, {design}):"
        f" {written[wrong[0]]:,} instead of {counts[wrong[0]]:,}"
    )
