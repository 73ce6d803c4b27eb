"""Second stage: the rows of a partition -> shards, sequences, statistics."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import dataclasses
import pathlib
import shutil
from typing import Any, Protocol

import numpy as np
import polars as pl

from behavior_lm.common import resumable
from behavior_lm.logs import checksum
from behavior_lm.logs import sequences
from behavior_lm.logs import splits
from behavior_lm.logs.builders import event_log
from behavior_lm.logs.reports import report
from behavior_lm.logs.stages import external_sort
from behavior_lm.logs.stages import pair_table
from behavior_lm.logs.stages import read_stage
from behavior_lm.logs.stages import spill
from behavior_lm.logs.stages.plan import Plan

# Events of one array_record file, about 40 MB.
SHARD_EVENTS = 4_000_000
# A partition of more rows is sorted on disk, range by range.
MAX_ROWS = 4_000_000


def name(partition: int) -> str:
  """Of a sorting task."""
  return f"sort-{partition:05d}"


def pairs_path(plan: Plan) -> pathlib.Path:
  """All pairs of the log, in the order of their final codes."""
  return plan.work / "pairs.parquet"


class Pieces(Protocol):
  """The rows of one partition that one reading task found."""

  num_rows: int

  def rows(self) -> Iterator[np.ndarray]:
    """Yields chunks of rows in the order of the log; not for keeping."""

  def users(self) -> list[pl.DataFrame]:
    """Hash and user_id of their users, several times maybe."""


class Sorter:
  """Sorts partitions; keeps what is the same for all of them.

  Args:
    plan: of the run; its reading tasks are finished and their pairs merged.
  """

  def __init__(self, plan: Plan):
    self._plan = plan
    self._pairs = pl.read_parquet(pairs_path(plan))
    self._codes: dict[int, np.ndarray] = {}

  def run(
      self, partition: int, pieces: Mapping[int, Pieces] | None = None
  ) -> dict[str, Any]:
    """Sorts and cuts one partition, and writes its shards.

    Args:
      partition: which one.
      pieces: its rows by reading task; None takes them from the files that
        the reading tasks of the plan wrote.

    Returns:
      {"shards": {split: [{"name", "examples", "bytes", "sha256"}]}, "hashes":
      sum of the hashes of all examples, in hexadecimal, "table", "statistics":
      names of files}.
    """
    plan = self._plan
    if pieces is None:
      pieces = {
          number: spill.StoredPieces(
              read_stage.prefix(plan, number), partition, plan.extras
          )
          for number in range(len(plan.slices))
      }
    folder = plan.work / "sort" / f"{partition:05d}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    block = self._block(pieces, folder / "large")
    statistics = report.Statistics(self._pairs.height)
    for part in sequences.parts(block, MAX_ROWS):
      statistics.add(part)
    files = _Shards(plan, folder)
    files.write(block)
    block.table.drop("offset").write_parquet(folder / "table.parquet")
    state: dict[str, Any] = statistics.state()
    np.savez(folder / "statistics.npz", **state)
    del block
    shutil.rmtree(folder / "large", ignore_errors=True)
    kept = [
        resumable.output(plan.work, folder / file)
        for file in ("table.parquet", "statistics.npz")
    ]
    shards = [shard for found in files.shards.values() for shard in found]
    result = {
        "shards": files.shards,
        "hashes": checksum.to_hex(files.hashes),
        "table": kept[0].name,
        "statistics": kept[1].name,
    }
    return resumable.finish(
        plan.work,
        name(partition),
        result,
        kept
        + [
            resumable.Output(shard["name"], shard["bytes"], shard["sha256"])
            for shard in shards
        ],
    )

  def _block(
      self, pieces: Mapping[int, Pieces], folder: pathlib.Path
  ) -> sequences.Block:
    """The sorted events: in memory, or on disk if they are many."""
    cut = self._plan.options.cut()
    users = spill.unique_users([
        table for piece in pieces.values() for table in piece.users()
    ])

    def read() -> Iterator[np.ndarray]:
      for number in sorted(pieces):
        for rows in pieces[number].rows():
          rows["pair"] = self._final(number)[rows["pair"]]
          yield rows

    num_rows = sum(piece.num_rows for piece in pieces.values())
    if num_rows <= MAX_ROWS:
      chunks = list(read())
      kind = [np.empty(0, spill.rows_lib.row_type(self._plan.extras))]
      rows = external_sort.sort_rows(np.concatenate(chunks or kind))
      del chunks
      return sequences.cut_rows(rows, users, cut)
    # Half, since a range may turn out larger than the sample said.
    ranges = external_sort.sorted_ranges(
        read, num_rows, folder / "ranges", MAX_ROWS // 2
    )
    blocks = (sequences.cut_rows(rows, users, cut) for rows in ranges)
    return _store(blocks, folder / "columns", cut)

  def _final(self, number: int) -> np.ndarray:
    """The final code of each code of a reading task."""
    if number not in self._codes:
      found = pl.read_parquet(read_stage.pairs_path(self._plan, number))
      self._codes[number] = pair_table.final_codes(found, self._pairs)
    return self._codes[number]


def _store(
    blocks: Iterable[sequences.Block],
    folder: pathlib.Path,
    cut: sequences.Cut,
) -> sequences.Block:
  """Joins blocks that follow each other; their events stay on disk."""
  folder.mkdir(parents=True, exist_ok=True)
  tables, kinds, duplicates = [], {}, 0
  for block in blocks:
    arrays = sequences.columns(block) | {"split code": block.split}
    for column, array in arrays.items():
      kinds[column] = array.dtype
      with (folder / column).open("ab") as file:
        file.write(array.tobytes())
    tables.append(block.table)
    duplicates += block.duplicates
  stored: dict[str, np.ndarray] = {
      # As a plain array: slices of a memmap are dear, and there are many.
      column: np.asarray(np.memmap(folder / column, kind, "r"))
      for column, kind in kinds.items()
  }
  return sequences.Block(
      pair=stored.pop("pair"),
      time=stored.pop("timestamp"),
      split=stored.pop("split code"),
      table=sequences.join_tables(tables, cut),
      duplicates=duplicates,
      extras=stored,
  )


@dataclasses.dataclass
class _Shards:
  """Writes the shards of one partition.

  Attributes:
    shards: what was written, by split.
    hashes: sum of the hashes of all examples.
  """

  plan: Plan
  folder: pathlib.Path
  shards: dict[str, list[dict[str, Any]]] = dataclasses.field(
      default_factory=dict
  )
  hashes: int = 0

  def write(self, block: sequences.Block) -> None:
    """Writes all examples of a block."""
    arrays = sequences.columns(block)
    for code, split in enumerate(splits.SPLITS):
      rows = block.table.filter(pl.col("split") == code)
      if rows.height:
        self.shards[split] = [
            self._write_shard(split, number, shard, arrays)
            for number, shard in enumerate(
                sequences.split_shards(rows, SHARD_EVENTS)
            )
        ]

  def _write_shard(
      self,
      split: str,
      number: int,
      rows: pl.DataFrame,
      arrays: Mapping[str, np.ndarray],
  ) -> dict[str, Any]:
    path = self.folder / f"{split}-{number:05d}.array_record"
    extras: Sequence[str] = self.plan.extras

    def examples() -> Iterator[dict[str, Any]]:
      for example in sequences.examples(rows, arrays):
        self.hashes += checksum.example_hash(split, example, extras)
        yield example

    count = event_log.write_shard(path, examples(), extras)
    written = resumable.output(self.plan.work, path)
    return {"examples": count, **dataclasses.asdict(written)}
