"""Which split an event belongs to: by user, by time, or both.

A user is held out by a seeded hash of its id, so the choice depends neither
on the order of the log nor on the other users in it.
"""

from collections.abc import Sequence
import hashlib

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema

TRAIN = "train"
TEST = "test"
HELDOUT_USERS = "heldout_users"
HELDOUT_USERS_TEST = "heldout_users_test"
# The place of a name is its code: 2 * held out + from split_time on.
SPLITS = (TRAIN, TEST, HELDOUT_USERS, HELDOUT_USERS_TEST)


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


def heldout_users(
    user_ids: Sequence[str], *, fraction: float, seed: int
) -> np.ndarray:
  """[n] user ids -> [n] bool, True for about `fraction` of the users."""
  if fraction <= 0:
    return np.zeros(len(user_ids), bool)
  hashes = stable_hashes(user_ids, salt=f"heldout {seed}")
  return hashes < np.uint64(min(int(fraction * 2.0**64), 2**64 - 1))


def split_codes(
    heldout: np.ndarray, timestamp: np.ndarray, split_time: int | None
) -> np.ndarray:
  """Codes into SPLITS, one an event.

  Args:
    heldout: [n] bool, whether the event's user is held out.
    timestamp: [n] int64, microseconds UTC.
    split_time: microseconds UTC; None puts every event before it.

  Returns:
    [n] int8.
  """
  late = 0 if split_time is None else (timestamp >= split_time)
  return (2 * heldout.astype(np.int8) + late).astype(np.int8)


def check_splits(
    counts: dict[str, int],
    *,
    period: tuple[str, str],
    split_time: str | None,
    user_fraction: float,
) -> None:
  """Raises UserError if a split that was asked for holds no event."""
  early = counts[TRAIN] + counts[HELDOUT_USERS]
  late = counts[TEST] + counts[HELDOUT_USERS_TEST]
  held = counts[HELDOUT_USERS] + counts[HELDOUT_USERS_TEST]
  where = f"The log runs from {period[0]} to {period[1]}."
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
  if user_fraction > 0 and not held:
    raise UserError(
        f"--user_fraction {user_fraction}: no user is held out, there are too"
        " few of them. Raise it, change --seed, or leave the flag out."
    )
  for name in (TRAIN, TEST):
    if not counts[name] and (name == TRAIN or split_time is not None):
      raise UserError(
          f"split {name} is empty: --user_fraction {user_fraction} holds out"
          " every user with events in it. Lower it or change --seed."
      )


def check_leaks(sequences: pl.DataFrame, split_time: int | None) -> None:
  """Raises ValueError if a user or a later event crosses the splits.

  This looks at the table alone; `leaks.check_dataset_leaks` reads a finished
  dataset.

  Args:
    sequences: columns split, user_id, start, end (Datetime us UTC).
    split_time: microseconds UTC.
  """
  held = pl.col("split").is_in([HELDOUT_USERS, HELDOUT_USERS_TEST])
  crossing = (
      sequences.group_by(schema.USER_ID)
      .agg(held.any().alias("any"), held.all().alias("all"))
      .filter(pl.col("any") != pl.col("all"))
  )
  if crossing.height:
    user = crossing[schema.USER_ID].min()
    raise ValueError(
        f"{crossing.height} users are both held out and not, such as {user!r}"
    )
  if split_time is None:
    return
  late = pl.col("split").is_in([TEST, HELDOUT_USERS_TEST])
  cut = pl.lit(split_time).cast(pl.Datetime("us", "UTC"))
  wrong = sequences.filter(
      pl.when(late)
      .then(pl.col("start") < cut)
      .otherwise(pl.col("end") >= cut)
  )
  if wrong.height:
    first = wrong.row(0, named=True)
    raise ValueError(
        f"{wrong.height} sequences cross the split time, such as one of user"
        f" {first[schema.USER_ID]!r} in {first['split']}, {first['start']} to"
        f" {first['end']}"
    )
