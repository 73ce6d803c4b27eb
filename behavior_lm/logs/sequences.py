"""Cuts sorted events into sequences: a user's day, or a user's history."""

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.logs import schema
from behavior_lm.logs import splits
from behavior_lm.logs.stages import rows as rows_lib

USER_DAY, USER = "user_day", "user"
UNITS = (USER_DAY, USER)
_DAY_US = 86_400_000_000
_STAMP = pl.Datetime("us", "UTC")


@dataclasses.dataclass(frozen=True)
class Cut(splits.Rules):
  """How events become sequences, and in which split each one is.

  Attributes:
    unit: one of UNITS.
    zone: IANA name of the zone whose days count.
    drop_duplicates: keep only the first of equal rows.
  """

  unit: str = USER_DAY
  zone: str = "UTC"
  drop_duplicates: bool = False


@dataclasses.dataclass(frozen=True)
class Block:
  """Events, sorted and cut: a partition or a part of one.

  Attributes:
    pair: [n] int32, final codes.
    time: [n] int64, microseconds UTC.
    split: [n] int8, codes into splits.SPLITS.
    table: one row a sequence: split (code), user_id, start, end (Datetime us
      UTC), offset (of its first event in this block) and num_events.
    duplicates: rows equal to an earlier one.
    extras: [n] for each extra column: float64, or int32 codes of a category.
    before: where the first event continues a sequence, the time of the event
      before it; the table has no row for that sequence then.
  """

  pair: np.ndarray
  time: np.ndarray
  split: np.ndarray
  table: pl.DataFrame
  duplicates: int
  extras: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
  before: int | None = None


def cut_rows(rows: np.ndarray, users: pl.DataFrame, cut: Cut) -> Block:
  """Cuts sorted events; `leave_last_out` comes after, where it is asked for.

  Args:
    rows: [n] rows of `rows.row_type` with final codes, sorted by user hash
      and time.
    users: hash and user_id of their users, and maybe more, sorted by hash.
    cut: how.
  """
  pair = np.ascontiguousarray(rows["pair"])
  duplicate = find_duplicates(rows["user"], rows["time"], pair)
  if cut.drop_duplicates and duplicate.any():
    rows, pair = rows[~duplicate], pair[~duplicate]
  time = np.ascontiguousarray(rows["time"])
  user = np.searchsorted(users["hash"].to_numpy(), rows["user"])
  groups = splits.user_groups(users[schema.USER_ID].to_list(), cut)
  split = splits.split_codes(groups[user], time, cut)
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
  extras = {
      name: np.ascontiguousarray(rows[rows_lib.extra_field(name)])
      for name in rows_lib.extra_names(rows.dtype)
  }
  return Block(pair, time, split, table, int(duplicate.sum()), extras)


def leave_last_out(block: Block) -> Block:
  """Moves the last event of each user to test and the one before it to valid.

  Users with fewer than `splits.LEAST_EVENTS` events stay in train.

  Args:
    block: all events of its users, all of them in train; `block.split` is
      changed in place.
  """
  if not len(block.pair):
    return block
  table = block.table
  begins = table["offset"].to_numpy()
  users = begins[_changes(table[schema.USER_ID].rle_id().to_numpy())]
  ends = np.append(users[1:], len(block.pair))
  last = ends[ends - users >= splits.LEAST_EVENTS] - 1
  block.split[last] = splits.SPLITS.index(splits.TEST)
  block.split[last - 1] = splits.SPLITS.index(splits.VALID)
  first = np.unique(np.concatenate([begins, last, last - 1]))
  after = np.append(first[1:], len(block.pair))
  old = np.searchsorted(begins, first, side="right") - 1
  table = pl.DataFrame({
      "split": block.split[first],
      schema.USER_ID: table[schema.USER_ID].gather(old),
      "start": pl.Series(block.time[first]).cast(_STAMP),
      "end": pl.Series(block.time[after - 1]).cast(_STAMP),
      "offset": first,
      "num_events": after - first,
  })
  return dataclasses.replace(block, table=table)


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


def columns(block: Block) -> dict[str, np.ndarray]:
  """The arrays that examples are cut from: pair, timestamp and extras."""
  return {"pair": block.pair, schema.TIMESTAMP: block.time, **block.extras}


def join_tables(tables: Sequence[pl.DataFrame], cut: Cut) -> pl.DataFrame:
  """Joins the tables of blocks that follow each other.

  A sequence that goes on in the next block becomes one row.

  Args:
    tables: as in Block, each with the offsets of its own block.
    cut: how they were cut.
  """
  sizes = [int(table["num_events"].sum()) for table in tables]
  firsts = [0, *np.cumsum(sizes)[:-1].tolist()]
  joined = pl.concat([
      table.with_columns(pl.col("offset") + first)
      for table, first in zip(tables, firsts, strict=True)
  ])
  start = joined["start"].to_physical().to_numpy()
  begins = _changes(joined["split"].to_numpy())
  begins |= _changes(joined[schema.USER_ID].rle_id().to_numpy())
  if cut.unit == USER_DAY:
    begins |= _changes(local_days(start, cut.zone))
  return (
      joined.with_columns(sequence=np.cumsum(begins))
      .group_by("sequence", maintain_order=True)
      .agg(
          pl.col("split", schema.USER_ID, "start").first(),
          pl.col("end").last(),
          pl.col("offset").first(),
          pl.col("num_events").sum(),
      )
      .drop("sequence")
  )


def parts(block: Block, max_events: int) -> Iterator[Block]:
  """Cuts a block into parts of at most `max_events` events, in order."""
  offsets = block.table["offset"].to_numpy()
  for begin in range(0, len(block.pair), max_events):
    end = min(begin + max_events, len(block.pair))
    first, last = np.searchsorted(offsets, [begin, end])
    continues = first == len(offsets) or offsets[first] != begin
    yield Block(
        pair=np.asarray(block.pair[begin:end]),
        time=np.asarray(block.time[begin:end]),
        split=np.asarray(block.split[begin:end]),
        table=block.table.slice(first, last - first).with_columns(
            pl.col("offset") - begin
        ),
        duplicates=0 if begin else block.duplicates,
        extras={
            name: np.asarray(values[begin:end])
            for name, values in block.extras.items()
        },
        before=int(block.time[begin - 1]) if continues else None,
    )


def number_sequences(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
  """Joins the tables of all partitions and numbers the sequences.

  Returns:
    The columns of `Block.table` with the split's name instead of its code,
    and `index`: the position inside the split.
  """
  names = pl.Series(splits.SPLITS, dtype=pl.String)
  joined = pl.concat(tables)
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


def examples(
    rows: pl.DataFrame, arrays: Mapping[str, np.ndarray]
) -> Iterator[dict[str, Any]]:
  """Yields the examples of sequences.

  Args:
    rows: of the table of a block.
    arrays: the events of that block, as `columns` gives them.
  """
  fields = rows.select(
      schema.USER_ID, pl.col("start").to_physical(), "offset", "num_events"
  )
  for user, start, offset, length in fields.iter_rows():
    events = slice(offset, offset + length)
    yield {schema.USER_ID: user, "start": start} | {
        name: array[events] for name, array in arrays.items()
    }
