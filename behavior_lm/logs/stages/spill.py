"""Partitions of events on disk: the first half of the external sort.

Users are spread over partitions by the top bits of their hash, so partitions
one after the other are the whole log in the order of that hash, whatever
their number. A reading task writes one file of rows: chunk after chunk, the
rows of a chunk in the order of their partitions, and an index that says where
each partition's piece of each chunk is, with its checksum.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import pathlib
import zlib

import numpy as np
import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]

from behavior_lm.common import resumable
from behavior_lm.common.errors import Interrupted
from behavior_lm.logs import checksum
from behavior_lm.logs import schema
from behavior_lm.logs import splits
from behavior_lm.logs.stages import rows as rows_lib

# Rows of a partition: 2 M make 40 MB, about 200 MB while being sorted.
PARTITION_BITS = 21
MAX_BITS = 12
# Rows of a chunk: many partitions need large chunks, or their pieces are tiny.
MIN_CHUNK_ROWS, MAX_CHUNK_ROWS, PIECE_ROWS = 500_000, 4_000_000, 1_000

USERS_SCHEMA = {"hash": pl.UInt64, schema.USER_ID: pl.String}
_USERS_ARROW = pa.schema([
    ("hash", pa.uint64()),
    (schema.USER_ID, pa.large_string()),
])
_INDEX = np.dtype([("rows", "<i8"), ("users", "<i8"), ("crc", "<u4")])


def partition_bits(rows: int) -> int:
  """How many bits of the hash say the partition, for so many rows."""
  bits = max(0, (max(rows, 1) - 1).bit_length() - PARTITION_BITS)
  return min(bits, MAX_BITS)


def partition_of(hashes: np.ndarray, bits: int) -> np.ndarray:
  """[n] uint64 -> [n] uint16."""
  if not bits:
    return np.zeros(len(hashes), np.uint16)
  return (hashes >> np.uint64(64 - bits)).astype(np.uint16)


def make_rows(
    users: pl.Series,
    pair: np.ndarray,
    time: np.ndarray,
    extras: Mapping[str, np.ndarray],
    kinds: schema.Kinds,
) -> tuple[np.ndarray, pl.DataFrame]:
  """Packs events into rows.

  Args:
    users: [n] String.
    pair: [n] int32.
    time: [n] int64, microseconds UTC.
    extras: [n] numbers, or codes of a category, for each extra column.
    kinds: of the extra columns.

  Returns:
    [n] rows of `rows.row_type`; and the users: hash, user_id, in any order.
  """
  names = users.unique()
  known = pl.DataFrame({
      "hash": splits.stable_hashes(names.to_list()),
      schema.USER_ID: names,
  })
  hashes = users.to_frame(schema.USER_ID).join(
      known, on=schema.USER_ID, how="left", maintain_order="left"
  )["hash"]
  rows = np.empty(len(users), rows_lib.row_type(kinds))
  rows["user"] = hashes.to_numpy()
  rows["pair"] = pair
  rows["time"] = time
  for name, values in extras.items():
    rows[rows_lib.extra_field(name)] = values
  return rows, known


class Chunk:
  """Rows in the order of their partitions, the order of the log inside.

  Args:
    batches: as `make_rows` returns them, one behind the other in the log.
    bits: of the hash that say the partition.

  Attributes:
    rows: [n] rows.
    users: hash and user_id, each once, sorted by hash.
    row_counts, user_counts: [partitions] int64.
  """

  def __init__(
      self, batches: Sequence[tuple[np.ndarray, pl.DataFrame]], bits: int
  ):
    rows = np.concatenate([rows for rows, _ in batches])
    place = partition_of(rows["user"], bits)
    self.rows = rows[np.argsort(place, kind="stable")] if bits else rows
    self.row_counts = np.bincount(place, minlength=1 << bits)
    self.users = unique_users([users for _, users in batches])
    place = partition_of(self.users["hash"].to_numpy(), bits)
    self.user_counts = np.bincount(place, minlength=1 << bits)

  def pieces(self) -> Iterator[tuple[int, np.ndarray, pl.DataFrame]]:
    """Partition, rows and users, for each partition that has any."""
    row, user = 0, 0
    for partition in np.flatnonzero(self.row_counts).tolist():
      rows = int(self.row_counts[partition])
      users = int(self.user_counts[partition])
      yield (
          partition,
          self.rows[row : row + rows],
          self.users.slice(user, users),
      )
      row, user = row + rows, user + users


def unique_users(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
  """Joins tables of hash and user_id; each user once, sorted by hash.

  Raises:
    RuntimeError: if two users have the same hash.
  """
  if not tables:
    return pl.DataFrame(schema=USERS_SCHEMA)
  joined = pl.concat(tables).unique().sort("hash")
  if joined["hash"].n_unique() != joined.height:
    raise RuntimeError("two user ids have the same 64-bit hash")
  return joined


def chunk_rows(bits: int) -> int:
  """Rows to collect for a chunk, for so many bits of partitions."""
  return max(MIN_CHUNK_ROWS, min(MAX_CHUNK_ROWS, PIECE_ROWS << bits))


def chunks(
    batches: Iterable[tuple[np.ndarray, pl.DataFrame]], bits: int
) -> Iterator[Chunk]:
  """Collects batches, as `make_rows` returns them, to chunks of a size."""
  waiting: list[tuple[np.ndarray, pl.DataFrame]] = []
  rows = 0
  for batch in batches:
    if len(batch[0]):
      waiting.append(batch)
      rows += len(batch[0])
    if rows >= chunk_rows(bits):
      yield Chunk(waiting, bits)
      waiting, rows = [], 0
  if waiting:
    yield Chunk(waiting, bits)


class SpillWriter:
  """Writes the events of one reading task.

  Args:
    prefix: path of its files without their endings.
    bits: of the hash that say the partition.
  """

  def __init__(self, prefix: pathlib.Path, bits: int):
    self._prefix = prefix
    self._bits = bits
    self._index: list[np.ndarray] = []
    self._file = checksum.HashingFile(_rows_path(prefix))
    self._users = pa.ipc.new_file(_users_path(prefix), _USERS_ARROW)

  def add(self, chunk: Chunk) -> None:
    """Appends the events of a chunk."""
    entry = np.zeros(1 << self._bits, _INDEX)
    entry["rows"] = chunk.row_counts
    entry["users"] = chunk.user_counts
    for partition, rows, _ in chunk.pieces():
      entry["crc"][partition] = zlib.crc32(rows)
    self._index.append(entry)
    self._file.write(memoryview(chunk.rows).cast("B"))
    table = chunk.users.to_arrow().cast(_USERS_ARROW).combine_chunks()
    for batch in table.to_batches():
      self._users.write_batch(batch)

  def close(self, work: pathlib.Path) -> list[resumable.Output]:
    """Ends the files and describes them."""
    sha256 = self._file.close()
    self._users.close()
    index = np.array(self._index, _INDEX).reshape(-1, 1 << self._bits)
    np.save(_index_path(self._prefix), index)
    return [
        resumable.output(work, _rows_path(self._prefix), sha256),
        resumable.output(work, _users_path(self._prefix)),
        resumable.output(work, _index_path(self._prefix)),
    ]


class StoredPieces:
  """The rows of one partition in the files of one reading task.

  Args:
    prefix: path of the files without their endings.
    partition: which one.
    extras: kinds of the extra columns.
  """

  def __init__(
      self, prefix: pathlib.Path, partition: int, extras: schema.Kinds
  ):
    self._prefix = prefix
    self._partition = partition
    self._kind = rows_lib.row_type(extras)
    self._index = np.load(_index_path(prefix), mmap_mode="r")
    self.num_rows = int(self._index["rows"][:, partition].sum())

  def rows(self) -> Iterator[np.ndarray]:
    """Yields the rows of each chunk, in the order of the log.

    Raises:
      Interrupted: if the file is not what was written.
    """
    if not self.num_rows:
      return
    path = _rows_path(self._prefix)
    begin = 0
    with path.open("rb") as file:
      for chunk in self._index:
        before = int(chunk["rows"][: self._partition].sum())
        count = int(chunk["rows"][self._partition])
        if count:
          file.seek((begin + before) * self._kind.itemsize)
          data = file.read(count * self._kind.itemsize)
          if zlib.crc32(data) != chunk["crc"][self._partition]:
            raise Interrupted(
                f"{path}: has changed since it was written, from byte"
                f" {(begin + before) * self._kind.itemsize:,} on. Is the disk"
                " in order? Run the same command again."
            )
          yield np.frombuffer(bytearray(data), self._kind)
        begin += int(chunk["rows"].sum())

  def users(self) -> list[pl.DataFrame]:
    """Hash and user_id of the users of each chunk."""
    if not self.num_rows:
      return []
    found = []
    with (
        pa.memory_map(str(_users_path(self._prefix))) as mapped,
        pa.ipc.open_file(mapped) as file,
    ):
      for number, chunk in enumerate(self._index):
        count = int(chunk["users"][self._partition])
        if count:
          before = int(chunk["users"][: self._partition].sum())
          part = file.get_batch(number).slice(before, count)
          found.append(
              pl.DataFrame({
                  name: pl.Series(part.column(name).to_pylist(), dtype=kind)
                  for name, kind in USERS_SCHEMA.items()
              })
          )
    return found


def _rows_path(prefix: pathlib.Path) -> pathlib.Path:
  return prefix.with_name(prefix.name + ".rows")


def _users_path(prefix: pathlib.Path) -> pathlib.Path:
  return prefix.with_name(prefix.name + ".users")


def _index_path(prefix: pathlib.Path) -> pathlib.Path:
  return prefix.with_name(prefix.name + ".index.npy")
