"""Which samples are for training, and which for testing.

All functions return {side: positions in the table, ascending}. They hash user
ids and the content of rows, so a split depends neither on the order of the
rows nor on the machine. A user is on one side of a split by user; no row of
train is at or after the split time of a split by time.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples.sample_columns import BINARY
from behavior_lm.data.samples.sample_columns import LABEL
from behavior_lm.data.samples.sample_columns import MULTI_CLASS
from behavior_lm.data.samples.sample_columns import TIME
from behavior_lm.data.samples.table import SampleTable
from behavior_lm.data.samples.table import times_of
from behavior_lm.logs import schema
from behavior_lm.logs import splits as log_splits

Sides = dict[str, np.ndarray]
TRAIN, VALID, TEST = log_splits.TRAIN, "valid", log_splits.TEST


def by_user(
    table: SampleTable,
    fractions: Mapping[str, float],
    *,
    seed: int,
    stratify: str = "",
) -> Sides:
  """Splits users by a seeded hash.

  Without `stratify`, the side of a user depends on nothing but its id, the
  seed and the fractions. With it, each class is divided as exactly as its
  number of users allows.

  Args:
    table: labelled rows.
    fractions: {side: share of the users}; they sum to 1.
    seed: of the hash.
    stratify: a binary or multi_class label; the stratum of a user is its most
      frequent value.

  Raises:
    UserError: if the shares are not shares, or a side gets no user.
  """
  shares = np.array(list(fractions.values()), np.float64)
  if not len(shares) or (shares <= 0).any() or abs(shares.sum() - 1) > 1e-9:
    raise UserError(
        f"fractions {dict(fractions)} must be positive and sum to 1."
    )
  users, strata = _users(table, stratify)
  places = _uniform(users, f"samples by user {seed}")
  if stratify:
    places = _spread(strata, places, seed)
  ends = np.cumsum(shares)[:-1]
  side_of_user = np.searchsorted(ends, places, side="right")
  sides = _to_rows(table, users, side_of_user)
  return _sides(
      {name: sides == number for number, name in enumerate(fractions)}
  )


def by_time(
    table: SampleTable, split_time: int, *, valid_time: int | None = None
) -> Sides:
  """Rows before and from a time on.

  A label that is known only later than its row's time may still look across
  the split time; leave a distance between the two then.

  Args:
    table: labelled rows with times.
    split_time: microseconds UTC; test rows are at or after it.
    valid_time: microseconds UTC; rows from it to the split time are valid.

  Raises:
    UserError: if a row has no time, or a side gets no row.
  """
  times = _times(table)
  if valid_time is None:
    return _sides({TRAIN: times < split_time, TEST: times >= split_time})
  if valid_time >= split_time:
    raise UserError(
        f"valid_time {valid_time} must be before split_time {split_time}."
    )
  return _sides({
      TRAIN: times < valid_time,
      VALID: (times >= valid_time) & (times < split_time),
      TEST: times >= split_time,
  })


def by_user_and_time(
    table: SampleTable, split_time: int, *, fraction: float, seed: int
) -> Sides:
  """The four splits of a dataset, for rows.

  With the fraction and the seed that the dataset was prepared with, the same
  users are held out here, so that an encoder that was pretrained on its train
  split has not seen them.

  Args:
    table: labelled rows with times.
    split_time: microseconds UTC.
    fraction: share of the users to hold out.
    seed: of the choice of users.

  Returns:
    `train` and `test`: rows of the other users before and from the split time
    on; `heldout_users` and `heldout_users_test`: those of the held-out users.

  Raises:
    UserError: if a row has no time, or a side gets no row.
  """
  times = _times(table)
  if not 0 < fraction < 1:
    raise UserError(f"fraction is {fraction}; it must lie between 0 and 1.")
  users, _ = _users(table, "")
  # The salt and the limit are those with which logs are prepared.
  hashes = log_splits.stable_hashes(users.to_list(), salt=f"heldout {seed}")
  held = _to_rows(table, users, hashes < np.uint64(int(fraction * 2.0**64)))
  late = times >= split_time
  return _sides({
      TRAIN: ~held & ~late,
      TEST: ~held & late,
      log_splits.HELDOUT_USERS: held & ~late,
      log_splits.HELDOUT_USERS_TEST: held & late,
  })


def leave_one_out(table: SampleTable, *, min_rows: int = 3) -> Sides:
  """The last row of each user is test, the one before it valid.

  Args:
    table: labelled rows with times. Among rows of one user and time the order
      of the table counts: that of the log for `rows_from_log`.
    min_rows: users with fewer rows are train altogether, as in SASRec.

  Raises:
    UserError: if a row has no time, or a side gets no row.
  """
  if min_rows < 2:
    raise UserError(f"min_rows is {min_rows}; test and valid need 2 rows.")
  _times(table)
  user = pl.col(schema.USER_ID)
  found = table.frame.select(
      (pl.len().over(user) - pl.int_range(pl.len()).over(user)).alias("left"),
      pl.len().over(user).alias("rows"),
  )
  enough = (found["rows"] >= min_rows).to_numpy()
  left = found["left"].to_numpy()
  return _sides({
      TRAIN: ~enough | (left > 2),
      VALID: enough & (left == 2),
      TEST: enough & (left == 1),
  })


def folds(
    table: SampleTable, num_folds: int, *, seed: int, stratify: str = ""
) -> list[Sides]:
  """Folds by user for cross-validation; each user is in one test side.

  The test sides differ by at most one user, and so do the numbers of users
  of each class in them.

  Args:
    table: labelled rows.
    num_folds: at least 2.
    seed: of the choice.
    stratify: a binary or multi_class label, see `by_user`.

  Returns:
    {"train", "test"} for each fold.

  Raises:
    UserError: if there are fewer users than folds.
  """
  users, strata = _users(table, stratify)
  if not 2 <= num_folds <= len(users):
    raise UserError(
        f"num_folds is {num_folds}; choose 2 to {len(users)}, the number of"
        " users."
    )
  order = np.lexsort((_uniform(users, f"samples folds {seed}"), strata))
  fold_of_user = np.empty(len(users), np.int64)
  fold_of_user[order] = np.arange(len(users)) % num_folds
  fold = _to_rows(table, users, fold_of_user)
  return [
      _sides({TRAIN: fold != number, TEST: fold == number})
      for number in range(num_folds)
  ]


def train_sizes(
    table: SampleTable,
    rows: np.ndarray,
    sizes: Sequence[int],
    *,
    seed: int,
    stratify: str = "",
) -> dict[int, np.ndarray]:
  """Nested subsets of the training rows, to learn from fewer labels.

  Each subset holds all smaller ones; with `stratify` each has the classes in
  the proportions of all rows, as exactly as its size allows.

  Args:
    table: labelled rows.
    rows: positions of the training rows.
    sizes: numbers of rows; those beyond the number of rows are left out.
    seed: of the choice.
    stratify: a binary or multi_class label.

  Returns:
    {size: positions, ascending}, the last of which holds all rows.
  """
  rows = np.sort(rows)
  frame = table.frame[rows]
  keys = frame.select(
      pl.concat_str(table.columns.key(), separator="\x1f", ignore_nulls=True)
  ).to_series()
  places = _uniform(keys, f"samples sizes {seed}")
  if stratify:
    strata = _strata(frame[LABEL + _checked(table, stratify)])
    places = _spread(strata, places, seed)
  order = np.argsort(places, kind="stable")
  wanted = sorted({size for size in sizes if 0 < size < len(rows)})
  return {
      size: np.sort(rows[order[:size]]) for size in [*wanted, len(rows)]
  }


def _users(
    table: SampleTable, stratify: str
) -> tuple[pl.Series, np.ndarray]:
  """The users, sorted, and the number of each one's stratum."""
  frame = table.frame
  if not stratify:
    users = frame[schema.USER_ID].unique().sort()
    return users, np.zeros(len(users), np.int64)
  label = LABEL + _checked(table, stratify)
  found = (
      frame.group_by(schema.USER_ID, label)
      .len()
      .sort("len", label, descending=[True, False], nulls_last=True)
      .group_by(schema.USER_ID)
      .agg(pl.col(label).first())
      .sort(schema.USER_ID)
  )
  return found[schema.USER_ID], _strata(found[label])


def _strata(values: pl.Series) -> np.ndarray:
  """[n] label values -> [n] int64, equal numbers for equal values."""
  return values.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()


def _checked(table: SampleTable, stratify: str) -> str:
  known = table.columns.labels_of(BINARY, MULTI_CLASS)
  if stratify not in known:
    raise UserError(
        f"stratify {stratify!r} is no binary or multi_class label; there are"
        f" {', '.join(known) or 'none'}."
    )
  return stratify


def _uniform(texts: pl.Series, salt: str) -> np.ndarray:
  """[n] texts -> [n] float64 in [0, 1), the same on every machine."""
  hashes = log_splits.stable_hashes(texts.to_list(), salt=salt)
  # 53 bits, so that no hash is rounded up to 1.
  return (hashes >> np.uint64(11)).astype(np.float64) / 2.0**53


def _spread(strata: np.ndarray, places: np.ndarray, seed: int) -> np.ndarray:
  """Places each stratum evenly in [0, 1), in the order of `places`.

  An interval of length s then holds s times the stratum, rounded up or down.
  """
  out = np.empty(len(strata), np.float64)
  for stratum in np.unique(strata):
    members = np.flatnonzero(strata == stratum)
    order = members[np.argsort(places[members], kind="stable")]
    shift = _uniform(pl.Series([str(stratum)]), f"samples stratum {seed}")
    out[order] = (np.arange(len(order)) + shift) / len(order)
  return out


def _to_rows(
    table: SampleTable, users: pl.Series, values: np.ndarray
) -> np.ndarray:
  """[users] values -> [rows] values."""
  known = pl.DataFrame({schema.USER_ID: users, "value": values})
  return (
      table.frame.select(schema.USER_ID)
      .join(known, on=schema.USER_ID, how="left", maintain_order="left")
      ["value"].to_numpy()
  )


def _times(table: SampleTable) -> np.ndarray:
  missing = table.frame[TIME].null_count()
  if missing:
    raise UserError(
        f"{missing:,} of {len(table):,} samples have no time, which a split by"
        " time needs. Declare the time column, or split by user."
    )
  return times_of(table.frame)


def _sides(masks: Mapping[str, np.ndarray]) -> Sides:
  sides = {name: np.flatnonzero(mask) for name, mask in masks.items()}
  empty = [name for name, rows in sides.items() if not len(rows)]
  if empty:
    sizes = {name: len(rows) for name, rows in sides.items()}
    raise UserError(
        f"no sample is in {', '.join(empty)} ({sizes}). Choose another time,"
        " seed or share, or use more samples."
    )
  return sides
