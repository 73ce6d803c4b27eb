"""The sorting stage: the rows of a partition -> shards, table, statistics."""

from collections.abc import Iterator, Mapping
import dataclasses
import pathlib
import shutil
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common import resumable
from behavior_lm.logs import checksum
from behavior_lm.logs import sequences
from behavior_lm.logs import splits
from behavior_lm.logs.builders import event_log
from behavior_lm.logs.reports import extra_statistics
from behavior_lm.logs.reports import report
from behavior_lm.logs.stages import partitions
from behavior_lm.logs.stages import vocabulary
from behavior_lm.logs.stages.plan import Plan

# Events of one array_record file, about 40 MB.
SHARD_EVENTS = 4_000_000


def name(partition: int) -> str:
  """Of a sorting task."""
  return f"sort-{partition:05d}"


class Sorter:
  """Sorts partitions and writes their shards.

  Args:
    plan: of the run; its reading tasks are finished, their tables merged, and
      the vocabularies of its categorical columns made.
  """

  def __init__(self, plan: Plan):
    self._plan = plan
    self._partitions = partitions.Partitions(plan, vocabulary.codes(plan))

  def run(
      self,
      partition: int,
      pieces: Mapping[int, partitions.Pieces] | None = None,
  ) -> dict[str, Any]:
    """Sorts and cuts one partition, and writes its shards.

    Args:
      partition: which one.
      pieces: see `Partitions.block`.

    Returns:
      {"shards": {split: [{"name", "examples", "bytes", "sha256"}]}, "hashes":
      sum of the hashes of all examples, in hexadecimal, "table", "statistics":
      names of files}.
    """
    plan = self._plan
    folder = plan.work / "sort" / f"{partition:05d}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    block = self._partitions.block(partition, folder / "large", pieces)
    statistics = report.Statistics(self._partitions.pairs.height)
    for part in sequences.parts(block, partitions.MAX_ROWS):
      statistics.add(part)
    state: dict[str, Any] = statistics.state()
    state |= extra_statistics.measure(block, plan.kinds)
    files = _Shards(plan, folder)
    files.write(block)
    block.table.drop("offset").write_parquet(folder / "table.parquet")
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
    extras = self.plan.kinds

    def examples() -> Iterator[dict[str, Any]]:
      for example in sequences.examples(rows, arrays):
        self.hashes += checksum.example_hash(split, example, extras)
        yield example

    count = event_log.write_shard(path, examples(), extras)
    written = resumable.output(self.plan.work, path)
    return {"examples": count, **dataclasses.asdict(written)}
