"""Cuts sorted events into sequences: a user's day, or a user's history."""

from collections.abc import Iterator
import dataclasses
import pathlib
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.data import schema
from behavior_lm.data import splits

USER_DAY, USER = "user_day", "user"
UNITS = (USER_DAY, USER)
_DAY_US = 86_400_000_000
_STAMP = pl.Datetime("us", "UTC")


@dataclasses.dataclass(frozen=True)
class Cut:
  """How events become sequences.

  Attributes:
    unit: one of UNITS.
    zone: IANA name of the zone whose days count.
    split_time: microseconds UTC, or None.
    user_fraction: share of users held out.
    seed: of the choice of those users.
    drop_duplicates: keep only the first of equal rows.
  """

  unit: str = USER_DAY
  zone: str = "UTC"
  split_time: int | None = None
  user_fraction: float = 0.0
  seed: int = 0
  drop_duplicates: bool = False


@dataclasses.dataclass(frozen=True)
class Block:
  """One partition, sorted and cut.

  Attributes:
    pair: [n] int32, final codes.
    time: [n] int64, microseconds UTC.
    split: [n] int8, codes into splits.SPLITS.
    table: one row a sequence: split (code), user_id, start, end (Datetime us
      UTC), offset (of its first event in this block) and num_events.
    duplicates: rows equal to an earlier one.
  """

  pair: np.ndarray
  time: np.ndarray
  split: np.ndarray
  table: pl.DataFrame
  duplicates: int


def cut_partition(
    rows: np.ndarray, users: pl.DataFrame, final: np.ndarray, cut: Cut
) -> Block:
  """Cuts one partition as `spill.Spill.read` gives it.

  Args:
    rows: [n] rows of spill.ROW_TYPE, sorted by user and time.
    users: hash and user_id of its users, sorted by hash.
    final: [num_pairs] the final code of each code in `rows`.
    cut: how.
  """
  pair = final[rows["pair"]]
  duplicate = find_duplicates(rows["user"], rows["time"], pair)
  if cut.drop_duplicates and duplicate.any():
    rows, pair = rows[~duplicate], pair[~duplicate]
  time = np.ascontiguousarray(rows["time"])
  user = np.searchsorted(users["hash"].to_numpy(), rows["user"])
  held = splits.heldout_users(
      users[schema.USER_ID].to_list(),
      fraction=cut.user_fraction,
      seed=cut.seed,
  )
  split = splits.split_codes(held[user], time, cut.split_time)
  begins = _changes(user) | _changes(split)
  if cut.unit == USER_DAY:
    begins |= _changes(local_days(time, cut.zone))
  first = np.flatnonzero(begins)
  after = np.append(first[1:], len(time))
  table = pl.DataFrame({
      "split": split[first],
      schema.USER_ID: users[schema.USER_ID].gather(user[first]),
      "start": pl.Series(time[first]).cast(_STAMP),
      "end": pl.Series(time[after - 1] if len(first) else time).cast(_STAMP),
      "offset": first.astype(np.int64),
      "num_events": (after - first).astype(np.int64),
  })
  return Block(pair, time, split, table, int(duplicate.sum()))


def find_duplicates(
    user: np.ndarray, time: np.ndarray, pair: np.ndarray
) -> np.ndarray:
  """Marks events equal to an earlier one of the same user and time.

  Args:
    user, time: [n], sorted together.
    pair: [n].

  Returns:
    [n] bool.
  """
  result = np.zeros(len(time), bool)
  tied = ~(_changes(user) | _changes(time))
  if not tied.any():
    return result
  # Ties get one number each; inside a tie, equal pairs make equal keys.
  tie = np.cumsum(~tied, dtype=np.int64)
  key = tie * (int(pair.max()) + 1) + pair
  order = np.argsort(key, kind="stable")
  result[order] = ~_changes(key[order])
  return result


def local_days(time: np.ndarray, zone: str) -> np.ndarray:
  """[n] microseconds UTC -> [n] days since 1970 in the calendar of a zone."""
  if zone == "UTC":
    return time // _DAY_US
  local = pl.Series(time).cast(_STAMP).dt.convert_time_zone(zone)
  return local.dt.date().to_physical().to_numpy()


def _changes(values: np.ndarray) -> np.ndarray:
  """[n] -> [n] bool: the value differs from the one before; True at 0."""
  result = np.ones(len(values), bool)
  np.not_equal(values[1:], values[:-1], out=result[1:])
  return result


@dataclasses.dataclass(frozen=True)
class Stored:
  """A block's events on disk, read back by slices."""

  pair_file: pathlib.Path
  time_file: pathlib.Path


def store(block: Block, folder: pathlib.Path, partition: int) -> Stored:
  """Writes the events of a block; the table stays in memory."""
  stored = Stored(
      folder / f"{partition:03d}.pair", folder / f"{partition:03d}.time"
  )
  stored.pair_file.write_bytes(block.pair.tobytes())
  stored.time_file.write_bytes(block.time.tobytes())
  return stored


def number_sequences(tables: list[pl.DataFrame]) -> pl.DataFrame:
  """Joins the tables of all partitions and numbers the sequences.

  Returns:
    The columns of `Block.table` with the split's name instead of its code,
    `partition`, and `index`: the position inside the split.
  """
  names = pl.Series(splits.SPLITS, dtype=pl.String)
  joined = pl.concat([
      table.with_columns(pl.lit(number, pl.Int32).alias("partition"))
      for number, table in enumerate(tables)
  ])
  return joined.with_columns(
      names.gather(joined["split"]).alias("split"),
      pl.int_range(pl.len(), dtype=pl.Int64).over("split").alias("index"),
  )


def split_shards(rows: pl.DataFrame, max_events: int) -> list[pl.DataFrame]:
  """Cuts the sequences of one split into runs of about `max_events` events."""
  ends = rows["num_events"].cum_sum().to_numpy()
  shard = (ends - rows["num_events"].to_numpy()) // max_events
  first = np.flatnonzero(_changes(shard))
  return [
      rows.slice(int(begin), int(end - begin))
      for begin, end in zip(first, [*first[1:], len(ends)], strict=True)
  ]


def read_examples(
    rows: pl.DataFrame, stored: list[Stored]
) -> Iterator[dict[str, Any]]:
  """Yields examples of the TFDS builder for sequences of one split.

  Args:
    rows: of the table that `number_sequences` returns, in order.
    stored: the events of each partition.
  """
  for part in rows.partition_by("partition", maintain_order=True):
    files = stored[part["partition"][0]]
    pair = np.memmap(files.pair_file, np.int32, "r")
    time = np.memmap(files.time_file, np.int64, "r")
    fields = part.select(
        schema.USER_ID, pl.col("start").to_physical(), "offset", "num_events"
    )
    for user, start, offset, length in fields.iter_rows():
      events = slice(offset, offset + length)
      yield {
          schema.USER_ID: user,
          "start": start,
          "pair": pair[events],
          "timestamp": time[events],
      }
