"""Which split an event belongs to: by user, by time, or by its place.

  users      before valid_time  until split_time  from split_time on
  others     train              valid             test
  valid      valid_users        valid_users       valid_users_test
  held out   heldout_users      heldout_users     heldout_users_test

A user is held out, or set aside for validation, by seeded hashes of its id, so
the choice depends neither on the order of the log nor on the other users in
it. With leave_one_out instead, the last event of each user is in test, the one
before it in valid and all others in train; users with fewer than three events
are in train.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import hashlib

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema

TRAIN = "train"
VALID = "valid"
TEST = "test"
VALID_USERS = "valid_users"
VALID_USERS_TEST = "valid_users_test"
HELDOUT_USERS = "heldout_users"
HELDOUT_USERS_TEST = "heldout_users_test"
# The place of a name is its code.
SPLITS = (
    TRAIN, VALID, TEST, VALID_USERS, VALID_USERS_TEST, HELDOUT_USERS,
    HELDOUT_USERS_TEST,
)  # fmt: skip
# The splits of each group of users: before valid_time, until split_time, later.
# No user is in two groups.
GROUPS = (
    (TRAIN, VALID, TEST),
    (VALID_USERS, VALID_USERS, VALID_USERS_TEST),
    (HELDOUT_USERS, HELDOUT_USERS, HELDOUT_USERS_TEST),
)
_CODES = np.array(
    [[SPLITS.index(name) for name in group] for group in GROUPS], np.int8
)
# An event of leave_one_out's test and one of its valid, and one to train on.
LEAST_EVENTS = 3


@dataclasses.dataclass(frozen=True)
class Rules:
  """What decides the split of an event.

  Attributes:
    valid_time: microseconds UTC from which on events are in valid; None for no
      such split.
    split_time: microseconds UTC from which on events are in a test split; None
      for no such split.
    valid_fraction: share of the users not held out that is set aside.
    user_fraction: share of users held out.
    seed: of the choice of users.
    leave_one_out: see the head of this file; excludes all others.
  """

  valid_time: int | None = None
  split_time: int | None = None
  valid_fraction: float = 0.0
  user_fraction: float = 0.0
  seed: int = 0
  leave_one_out: bool = False


def stable_hash(text: str, salt: str = "") -> int:
  """64-bit hash that is the same on every machine and in every version."""
  digest = hashlib.blake2b(
      text.encode("utf-8", "surrogatepass"),
      digest_size=8,
      salt=hashlib.blake2b(salt.encode(), digest_size=16).digest(),
  )
  return int.from_bytes(digest.digest(), "little")


def stable_hashes(texts: Sequence[str], salt: str = "") -> np.ndarray:
  """[n] strings -> [n] uint64."""
  return np.fromiter(
      (stable_hash(text, salt) for text in texts), np.uint64, len(texts)
  )


def group_of(split: str) -> int:
  """The group of users that a split is of, a place in GROUPS."""
  [place] = [n for n, group in enumerate(GROUPS) if split in group]
  return place


def user_groups(user_ids: Sequence[str], rules: Rules) -> np.ndarray:
  """[n] user ids -> [n] int8, the places of their groups in GROUPS."""
  groups = np.zeros(len(user_ids), np.int8)
  # Last, so that a user who is held out stays held out.
  for group, word, fraction in (
      (1, "valid", rules.valid_fraction),
      (2, "heldout", rules.user_fraction),
  ):
    if fraction > 0:
      hashes = stable_hashes(user_ids, salt=f"{word} {rules.seed}")
      limit = np.uint64(min(int(fraction * 2.0**64), 2**64 - 1))
      groups[hashes < limit] = group
  return groups


def split_codes(
    groups: np.ndarray, timestamp: np.ndarray, rules: Rules
) -> np.ndarray:
  """Codes into SPLITS by user and by time, one per event.

  Args:
    groups: [n] int8, the group of each event's user.
    timestamp: [n] int64, microseconds UTC.
    rules: of the split; leave_one_out does not count here.

  Returns:
    [n] int8.
  """
  phase = np.zeros(len(timestamp), np.int8)
  if rules.valid_time is not None:
    phase += timestamp >= rules.valid_time
  if rules.split_time is not None:
    phase[timestamp >= rules.split_time] = 2
  return _CODES[groups, phase]


def period_of(split: str, rules: Rules) -> tuple[int | None, int | None]:
  """The time of the first event that a split may hold, and of the first not.

  Returns:
    Two moments in microseconds UTC; None where there is no bound.
  """
  group = GROUPS[group_of(split)]
  phases = [place for place, name in enumerate(group) if name == split]
  first = rules.split_time if rules.valid_time is None else rules.valid_time
  ends = (None, first, rules.split_time, None)
  return ends[phases[0]], ends[phases[-1] + 1]


def check_splits(
    counts: Mapping[str, int],
    *,
    period: tuple[str, str],
    split_time: str | None = None,
    valid_time: str | None = None,
    user_fraction: float = 0.0,
    valid_fraction: float = 0.0,
    leave_one_out: bool = False,
) -> None:
  """Checks that every split that was asked for holds events.

  Args:
    counts: events of each split.
    period: the first and the last moment of the log.
    split_time, valid_time, user_fraction, valid_fraction, leave_one_out: the
      values of the flags.

  Raises:
    UserError: names the split, the flag that left it empty, and what to do.
  """
  late = sum(counts[group[-1]] for group in GROUPS)
  early = sum(counts[name] for name in SPLITS) - late
  where = f"The log runs from {period[0]} to {period[1]}."
  if leave_one_out:
    if not counts[TEST]:
      raise UserError(
          f"--leave_one_out: no user has {LEAST_EVENTS} events, so valid and"
          " test are empty. Split by --split_time or --user_fraction."
      )
    return
  if split_time is not None and not early:
    raise UserError(
        f"--split_time {split_time}: no event is before it, so train is"
        f" empty. {where} Choose a time inside."
    )
  if split_time is not None and not late:
    raise UserError(
        f"--split_time {split_time}: no event is at or after it, so test is"
        f" empty. {where} Choose a time inside."
    )
  for place, flag, fraction, done in (
      (2, "--user_fraction", user_fraction, "held out"),
      (1, "--valid_fraction", valid_fraction, "set aside for validation"),
  ):
    if fraction > 0 and not any(counts[name] for name in GROUPS[place]):
      raise UserError(
          f"{flag} {fraction}: no user is {done}, there are too few of them."
          " Raise it, change --seed, or leave the flag out."
      )
  if valid_time is not None and not counts[TRAIN] and counts[VALID]:
    raise UserError(
        f"--valid_time {valid_time}: no event to train on is before it, so"
        f" train is empty. {where} Choose a time inside."
    )
  asked = {TRAIN: True, TEST: split_time is not None}
  for name, wanted in asked.items():
    if wanted and not counts[name]:
      taken = " and ".join(
          f"{flag} {fraction}"
          for flag, fraction in (
              ("--user_fraction", user_fraction),
              ("--valid_fraction", valid_fraction),
          )
          if fraction > 0
      )
      raise UserError(
          f"split {name} is empty: {taken} left it no user with events in it."
          " Lower the share or change --seed."
      )
  if valid_time is not None and not counts[VALID]:
    until = ""
    if split_time is not None:
      until = f" and before --split_time {split_time}"
    raise UserError(
        f"--valid_time {valid_time}: no event of the users of train is at or"
        f" after it{until}, so valid is empty. {where} Choose another time."
    )


def check_leaks(sequences: pl.DataFrame, rules: Rules) -> None:
  """Checks that no user and no later event crosses the splits.

  This looks at the table alone; `leaks.check_dataset_leaks` reads a finished
  dataset.

  Args:
    sequences: columns split, user_id, start, end (Datetime us UTC), and
      num_events for leave_one_out.
    rules: of the split.

  Raises:
    ValueError: names a user who is on both sides.
  """
  group = pl.col("split").replace_strict(
      {name: group_of(name) for name in SPLITS}, return_dtype=pl.Int8
  )
  crossing = (
      sequences.group_by(schema.USER_ID)
      .agg(group.n_unique().alias("groups"))
      .filter(pl.col("groups") > 1)
  )
  if crossing.height:
    user = crossing[schema.USER_ID].min()
    raise ValueError(
        f"{crossing.height} users are in splits of different groups of users,"
        f" such as {user!r}"
    )
  for split in SPLITS:
    low, high = period_of(split, rules)
    outside = pl.lit(False)
    if low is not None:
      outside |= pl.col("start") < _moment(low)
    if high is not None:
      outside |= pl.col("end") >= _moment(high)
    wrong = sequences.filter((pl.col("split") == split) & outside)
    if wrong.height:
      first = wrong.row(0, named=True)
      raise ValueError(
          f"{wrong.height} sequences of {split} hold events of another time,"
          f" such as one of user {first[schema.USER_ID]!r}, {first['start']} to"
          f" {first['end']}"
      )
  if rules.leave_one_out:
    misplaced = misplaced_users(sequences)
    if misplaced:
      raise ValueError(
          f"{len(misplaced)} users do not have their last event in test and the"
          f" one before it in valid, such as {misplaced[0]!r}"
      )


def misplaced_users(sequences: pl.DataFrame) -> list[str]:
  """Users whose events leave_one_out would have put into other splits.

  Args:
    sequences: columns split, user_id, start, end and num_events.

  Returns:
    Their ids, sorted.
  """

  def of(split: str, column: str) -> pl.Expr:
    return pl.col(column).filter(pl.col("split") == split)

  users = sequences.group_by(schema.USER_ID).agg(
      pl.col("num_events").sum().alias("total"),
      of(VALID, "num_events").sum().alias("valid"),
      of(TEST, "num_events").sum().alias("test"),
      of(TRAIN, "end").max().alias("train_end"),
      of(VALID, "start").min().alias("valid_start"),
      of(TEST, "start").min().alias("test_start"),
  )
  wanted = (pl.col("total") >= LEAST_EVENTS).cast(pl.Int64)
  wrong = (
      (pl.col("valid") != wanted)
      | (pl.col("test") != wanted)
      | (pl.col("train_end") > pl.col("valid_start")).fill_null(False)
      | (pl.col("valid_start") > pl.col("test_start")).fill_null(False)
  )
  return sorted(users.filter(wrong)[schema.USER_ID].to_list())


def _moment(microseconds: int) -> pl.Expr:
  return pl.lit(microseconds).cast(pl.Datetime("us", "UTC"))
