"""Reads a finished dataset and looks for what crosses its splits.

`splits.check_leaks` looks at the table of sequences while it is written. Here
the examples themselves are read, as a model will read them, and compared with
what dataset.json says about the splits.
"""

from collections.abc import Iterable
import dataclasses
from typing import Any

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

  These are leaks: a user who is in splits of two groups of users, or in
  another group than the seed of the dataset puts them; an event of another
  time than its split is of; with --leave_one_out, a user whose last events are
  not in test and valid; a sequence that is not the one that the table of
  sequences has at its place; and counts for a vocabulary that hold more than
  the events of train.

  Args:
    dataset: a finished dataset.
    progress: told how far it is.
  """
  found = Leaks()
  rules = _rules(dataset.meta)
  # The group of each user, and where they were seen first.
  seen: dict[str, tuple[int, str]] = {}
  rows: list[tuple[str, str, int, int, int]] = []
  counts = {"": np.zeros(dataset.pairs.height, np.int64)}
  for name, extra in dataset.extras.items():
    if extra.kind == schema.CATEGORICAL:
      counts[name] = np.zeros(extra.categories, np.int64)
  total = sum(part["num_sequences"] for part in dataset.meta["splits"].values())
  for split in dataset.splits:
    group, period = splits.group_of(split), splits.period_of(split, rules)
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
      group_before, first = seen.setdefault(user, (group, where))
      if group_before != group:
        found.messages.append(
            f"user {user!r} is in {first} and in {where}, which are splits of"
            " different groups of users"
        )
      found.messages += _check_times(where, user, times, period)
      if rules.leave_one_out:
        moments = int(times[0]), int(times[-1])
        rows.append((split, user, *moments, len(times)))
      if split == splits.TRAIN:
        for name, count in counts.items():
          codes = example[name or "pair"]
          count += np.bincount(codes[codes >= 0], minlength=len(count))
      if progress is not None:
        progress.stage("looking for leaks", found.num_sequences, total)
  found.num_users = len(seen)
  found.messages += _check_users(seen, rules)
  found.messages += _check_places(rows)
  found.messages += _check_counts(dataset, counts)
  return found


def _rules(meta: dict[str, Any]) -> splits.Rules:
  """What decided the splits of a dataset."""

  def moment(flag: str) -> int | None:
    text = meta[flag]
    return None if text is None else timestamps.parse_moment(text, "UTC", flag)

  return splits.Rules(
      valid_time=moment("valid_time"),
      split_time=moment("split_time"),
      valid_fraction=meta["valid_fraction"],
      user_fraction=meta["user_fraction"],
      seed=meta["seed"],
      leave_one_out=meta["leave_one_out"],
  )


def _check_times(
    where: str,
    user: str,
    times: np.ndarray,
    period: tuple[int | None, int | None],
) -> Iterable[str]:
  """The first event of a sequence that is outside of its split's period."""
  low, high = period
  for bound, side, wrong in (
      (low, "before", times < low if low is not None else None),
      (high, "at or after", times >= high if high is not None else None),
  ):
    if bound is not None and wrong is not None and wrong.any():
      first = int(wrong.argmax())
      yield (
          f"{where}: event {first} of user {user!r} is of"
          f" {timestamps.format_moment(int(times[first]))}, {side}"
          f" {timestamps.format_moment(bound)}, where this split"
          f" {'begins' if bound == low else 'ends'}"
      )


def _check_users(
    seen: dict[str, tuple[int, str]], rules: splits.Rules
) -> Iterable[str]:
  """Users in another group than the seed of the dataset puts them."""
  chosen = splits.user_groups(list(seen), rules)
  for (user, (group, where)), should in zip(seen.items(), chosen, strict=True):
    if group != should:
      yield (
          f"user {user!r} is in {where}, but the seed of the dataset puts them"
          f" into {' and '.join(dict.fromkeys(splits.GROUPS[should]))}"
      )


def _check_places(rows: list[tuple[str, str, int, int, int]]) -> Iterable[str]:
  """Users whose last events are not where --leave_one_out puts them."""
  names = ["split", schema.USER_ID, "start", "end", "num_events"]
  table = pl.DataFrame(rows, names, orient="row")
  for user in splits.misplaced_users(table) if rows else []:
    yield (
        f"user {user!r} does not have their last event in test, the one before"
        " it in valid and all others in train"
    )


def _check_counts(
    dataset: dataset_lib.Dataset, counts: dict[str, np.ndarray]
) -> Iterable[str]:
  """Counts for vocabularies that are not those of the train events."""
  for name, count in counts.items():
    table = dataset.categories(name) if name else dataset.pairs
    written = table["train_count"].to_numpy()
    wrong = np.flatnonzero(written != count)
    if len(wrong):
      file = dataset_lib.PAIRS_FILE
      if name:
        file = dataset_lib.categories_file(name)
      what = ["value"] if name else ["event_id", "design_id"]
      first = ", ".join(map(str, table.select(what).row(int(wrong[0]))))
      yield (
          f"{file}: train_count of {len(wrong):,} rows is not their number of"
          f" events in train, first ({first}): {written[wrong[0]]:,} instead of"
          f" {count[wrong[0]]:,}"
      )
