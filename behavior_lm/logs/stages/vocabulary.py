"""The vocabularies of the categorical columns, from the events of train alone.

Which events are in train is known when a partition is sorted and cut, so the
partitions are sorted twice where there is such a column: first to count its
values here, then to write the shards with the codes that the counts give.
"""

from collections.abc import Mapping, Sequence
import pathlib
import shutil
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common import resumable
from behavior_lm.logs import sequences
from behavior_lm.logs import splits
from behavior_lm.logs.stages import partitions
from behavior_lm.logs.stages.plan import Plan

_TASK = "vocabulary"
_TRAIN = splits.SPLITS.index(splits.TRAIN)


def name(partition: int) -> str:
  """Of a counting task."""
  return f"count-{partition:05d}"


def path(plan: Plan, column: str) -> pathlib.Path:
  """The vocabulary of a column, as the dataset has it."""
  return plan.work / "categories" / f"{column}.parquet"


def codes(plan: Plan) -> dict[str, np.ndarray]:
  """For each categorical column the final codes of its merged codes, int32."""
  return {
      column: np.load(_codes_path(plan, column)) for column in plan.categorical
  }


class Counter:
  """Counts the values of the categorical columns in train.

  Args:
    plan: of the run; its reading tasks are finished and their tables merged.
  """

  def __init__(self, plan: Plan):
    self._plan = plan
    self._partitions = partitions.Partitions(plan)

  def run(
      self,
      partition: int,
      pieces: Mapping[int, partitions.Pieces] | None = None,
  ) -> dict[str, Any]:
    """Counts those of one partition.

    Args:
      partition: which one.
      pieces: see `Partitions.block`.

    Returns:
      {"counts": name of a file}.
    """
    plan = self._plan
    folder = plan.work / "count" / f"{partition:05d}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    block = self._partitions.block(partition, folder / "large", pieces)
    totals = {
        column: np.zeros(values.height, np.int64)
        for column, values in self._partitions.values.items()
    }
    for part in sequences.parts(block, partitions.MAX_ROWS):
      for column, total in totals.items():
        found = part.extras[column][part.split == _TRAIN]
        total += np.bincount(found[found >= 0], minlength=len(total))
    del block
    shutil.rmtree(folder / "large", ignore_errors=True)
    state: dict[str, Any] = {}
    for column, total in totals.items():
      state[f"{column}.codes"] = np.flatnonzero(total)
      state[f"{column}.counts"] = total[state[f"{column}.codes"]]
    np.savez(folder / "counts.npz", **state)
    output = resumable.output(plan.work, folder / "counts.npz")
    return resumable.finish(
        plan.work, name(partition), {"counts": output.name}, [output]
    )


def make(plan: Plan, counts: Sequence[dict[str, Any]]) -> None:
  """Writes the vocabularies and the codes of all values.

  The most frequent value of train has code 1, equal counts go by the value,
  and values beyond `category_cap` or outside of train have code 0.

  Args:
    plan: of the run.
    counts: the results of all counting tasks.
  """
  if resumable.finished(plan.work, _TASK) is not None:
    return
  written = []
  for column in plan.categorical:
    values = pl.read_parquet(partitions.values_path(plan, column))["value"]
    total = np.zeros(len(values), np.int64)
    for found in counts:
      with np.load(plan.work / found["counts"]) as state:
        total[state[f"{column}.codes"]] += state[f"{column}.counts"]
    ranked = np.argsort(-total, kind="stable")
    ranked = ranked[total[ranked] > 0][: plan.options.category_cap]
    final = np.zeros(len(values), np.int32)
    final[ranked] = 1 + np.arange(len(ranked), dtype=np.int32)
    unknown = int(total.sum() - total[ranked].sum())
    table = pl.DataFrame(
        {
            "code": range(1 + len(ranked)),
            "value": [None, *values.gather(ranked)],
            "train_count": [unknown, *total[ranked].tolist()],
        },
        schema={
            "code": pl.Int32, "value": pl.String, "train_count": pl.Int64,
        },
    )  # fmt: skip
    table.write_parquet(path(plan, column))
    np.save(_codes_path(plan, column), final)
    written += [path(plan, column), _codes_path(plan, column)]
  outputs = [resumable.output(plan.work, file) for file in written]
  resumable.finish(plan.work, _TASK, {}, outputs)


def _codes_path(plan: Plan, column: str) -> pathlib.Path:
  return plan.work / "categories" / f"{column}.codes.npy"
