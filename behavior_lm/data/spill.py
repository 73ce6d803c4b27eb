"""Partitions of events on disk: the first half of the external sort.

An event is 20 bytes there: hash of the user, code of the pair, time. Users
are spread over partitions by the top bits of their hash, so partitions one
after the other are the whole log in the order of that hash, whatever their
number.
"""

import pathlib

import numpy as np
import polars as pl

from behavior_lm.data import schema
from behavior_lm.data import splits

ROW_TYPE = np.dtype([("user", "<u8"), ("pair", "<i4"), ("time", "<i8")])
# Rows of a partition: 2 M make 40 MB, about 200 MB while being sorted.
PARTITION_ROWS = 2_000_000
MAX_PARTITIONS = 256
_PAIR = [schema.EVENT_ID, schema.DESIGN_ID]


class PairTable:
  """Codes of (event, design) pairs in the order of their discovery."""

  def __init__(self) -> None:
    self._pairs = pl.DataFrame(
        schema={
            schema.EVENT_ID: pl.String,
            schema.DESIGN_ID: pl.String,
            "code": pl.Int32,
        }
    )

  def encode(self, events: pl.DataFrame) -> np.ndarray:
    """Events with event_id and design_id -> [n] int32 codes."""
    found = events.select(_PAIR).unique()
    known = found.join(self._pairs, on=_PAIR, how="left")
    new = known.filter(pl.col("code").is_null()).select(_PAIR)
    if new.height:
      first = self._pairs.height
      new = new.with_columns(
          pl.int_range(first, first + new.height, dtype=pl.Int32).alias("code")
      )
      self._pairs = pl.concat([self._pairs, new])
      known = pl.concat([known.filter(pl.col("code").is_not_null()), new])
    coded = events.select(_PAIR).join(
        known, on=_PAIR, how="left", maintain_order="left"
    )
    return coded["code"].to_numpy()

  def finish(self) -> tuple[pl.DataFrame, np.ndarray]:
    """Gives the final codes: places in the sorted order of the pairs.

    Codes by discovery would tell how early, and so how often, a pair occurs,
    on the test days too.

    Returns:
      event_id and design_id, sorted; and [num_pairs] int32, the final code of
      each code by discovery.
    """
    ordered = self._pairs.sort(_PAIR)
    final = np.empty(ordered.height, np.int32)
    final[ordered["code"].to_numpy()] = np.arange(ordered.height)
    return ordered.select(_PAIR), final


class Spill:
  """Writes events into partitions and reads a partition back.

  Args:
    folder: an empty folder for the files.
    rows: about how many events will come; decides the number of partitions.
  """

  def __init__(self, folder: pathlib.Path, rows: int):
    self._folder = folder
    bits = max(0, (max(rows, 1) - 1).bit_length() - 21)
    self._bits = min(bits, MAX_PARTITIONS.bit_length() - 1)
    self.num_partitions = 1 << self._bits
    self.rows = 0

  def add(
      self, users: pl.Series, pair: np.ndarray, time: np.ndarray
  ) -> None:
    """Appends events; their order is kept inside a partition.

    Args:
      users: [n] String.
      pair: [n] int32.
      time: [n] int64, microseconds UTC.
    """
    if not len(users):
      return
    names = users.unique()
    known = pl.DataFrame({
        schema.USER_ID: names,
        "hash": splits.stable_hashes(names.to_list()),
    })
    rows = np.empty(len(users), ROW_TYPE)
    hashes = users.to_frame(schema.USER_ID).join(
        known, on=schema.USER_ID, how="left", maintain_order="left"
    )["hash"]
    rows["user"] = hashes.to_numpy()
    rows["pair"] = pair
    rows["time"] = time
    self._append_users(known)
    self._append_rows(rows)
    self.rows += len(rows)

  def read(self, partition: int) -> tuple[np.ndarray, pl.DataFrame]:
    """Returns one partition sorted by user hash and time, ties as they came.

    Returns:
      [n] rows of ROW_TYPE; and its users: hash, user_id, sorted by hash.

    Raises:
      RuntimeError: if two users have the same hash.
    """
    path = self._rows_path(partition)
    if not path.exists():
      return np.empty(0, ROW_TYPE), pl.DataFrame(
          schema={"hash": pl.UInt64, schema.USER_ID: pl.String}
      )
    rows = np.fromfile(path, ROW_TYPE)
    order = np.lexsort((rows["time"], rows["user"]))
    users = (
        pl.read_ndjson(
            self._users_path(partition),
            schema={"hash": pl.UInt64, schema.USER_ID: pl.String},
        )
        .unique()
        .sort("hash")
    )
    if users["hash"].n_unique() != users.height:
      raise RuntimeError("two user ids have the same 64-bit hash")
    return rows[order], users

  def drop(self, partition: int) -> None:
    """Deletes the files of one partition."""
    self._rows_path(partition).unlink(missing_ok=True)
    self._users_path(partition).unlink(missing_ok=True)

  def _append_users(self, known: pl.DataFrame) -> None:
    place = self._partition(known["hash"].to_numpy())
    ordered = known.select("hash", schema.USER_ID)
    for partition in np.unique(place):
      with self._users_path(int(partition)).open("ab") as file:
        ordered.filter(place == partition).write_ndjson(file)

  def _append_rows(self, rows: np.ndarray) -> None:
    place = self._partition(rows["user"])
    order = np.argsort(place, kind="stable")
    counts = np.bincount(place, minlength=self.num_partitions)
    ends = np.cumsum(counts)
    ordered = rows[order]
    for partition in np.flatnonzero(counts):
      end = ends[partition]
      with self._rows_path(int(partition)).open("ab") as file:
        # Not tofile: that one does not say that the disk is full.
        file.write(ordered[end - counts[partition] : end].tobytes())

  def _partition(self, hashes: np.ndarray) -> np.ndarray:
    if not self._bits:
      return np.zeros(len(hashes), np.uint8)
    return (hashes >> np.uint64(64 - self._bits)).astype(np.uint8)

  def _rows_path(self, partition: int) -> pathlib.Path:
    return self._folder / f"{partition:03d}.rows"

  def _users_path(self, partition: int) -> pathlib.Path:
    return self._folder / f"{partition:03d}.users"
