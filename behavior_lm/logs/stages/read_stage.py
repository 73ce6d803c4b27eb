"""First stage: a file of the log, or a part of one -> rows by partition."""

from collections.abc import Callable, Iterator
import pathlib
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common import resumable
from behavior_lm.common.files import sha256
from behavior_lm.logs import formats
from behavior_lm.logs import schema
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.stages import code_table
from behavior_lm.logs.stages import plan as plans
from behavior_lm.logs.stages import spill
from behavior_lm.logs.stages.plan import Plan

# Above so many bad rows, and more of them than good ones, reading stops.
_HOPELESS_ROWS = 100_000

# Told the rows read so far and the file.
Tell = Callable[[int, str], None]


def name(number: int) -> str:
  """Of a reading task."""
  return f"read-{number:05d}"


def prefix(plan: Plan, number: int) -> pathlib.Path:
  """Path of a task's files without their endings."""
  return plan.work / "read" / f"{number:05d}"


def pairs_path(plan: Plan, number: int) -> pathlib.Path:
  """The pairs that a reading task found, in the order of its codes."""
  path = prefix(plan, number)
  return path.with_name(path.name + ".pairs.parquet")


def values_path(plan: Plan, number: int, column: str) -> pathlib.Path:
  """The values of a categorical column that a reading task found."""
  path = prefix(plan, number)
  return path.with_name(f"{path.name}.{column}.values.parquet")


def rejected_path(plan: Plan, number: int) -> pathlib.Path:
  """The rows that a reading task rejected."""
  path = prefix(plan, number)
  return path.with_name(path.name + ".rejected.jsonl")


class Reader:
  """Reads one slice of the log; iterating gives its events as rows.

  Args:
    plan: of the run.
    number: of the slice.
    tell: told how far it is.
  """

  def __init__(self, plan: Plan, number: int, tell: Tell):
    self._plan = plan
    self._number = number
    self._tell = tell
    self._source = plan.slices[number]
    self._pairs = code_table.CodeTable(code_table.PAIR)
    self._categories = {
        column: code_table.CodeTable(code_table.VALUE)
        for column in plan.categorical
    }
    self._times = plan.options.time_reader(plan.now)
    noted = plan.noted.get(self._source.name)
    if noted is not None:
      self._times.absorb(noted)
    self._events = 0
    prefix(plan, number).parent.mkdir(parents=True, exist_ok=True)
    self._rejected = quarantine.Quarantine(rejected_path(plan, number))

  def __iter__(self) -> Iterator[tuple[np.ndarray, pl.DataFrame]]:
    """Yields rows and users, as `spill.make_rows` returns them."""
    options, kinds = self._plan.options, self._plan.kinds
    rejected, file = self._rejected, self._source.name
    try:
      for raw in formats.read(
          self._source,
          log_format=options.log_format,
          columns=options.columns,
          extras=list(kinds),
          encoding=options.encoding,
          rejected=rejected,
          header=options.header,
      ):
        good = clean.clean(
            raw,
            file=file,
            times=self._times,
            rejected=rejected,
            extras=kinds,
            rules=options.rules(),
        )
        self._events += good.height
        yield spill.make_rows(
            good[schema.USER_ID],
            self._pairs.encode(good),
            good[schema.TIMESTAMP].to_numpy(),
            {column: self._numbers(good[column]) for column in kinds},
            kinds,
        )
        rows = self._events + rejected.total
        self._tell(rows, file)
        if rejected.total > max(_HOPELESS_ROWS, self._events):
          rejected.check(rows, options.max_bad_fraction)
    finally:
      rejected.close()

  def _numbers(self, values: pl.Series) -> np.ndarray:
    """What a row holds of an extra column: its numbers, or codes of texts."""
    table = self._categories.get(values.name)
    if table is None:
      return values.to_numpy()
    return table.encode(values.to_frame().select(value=values.name))

  def finish(
      self, task: str, outputs: list[resumable.Output]
  ) -> dict[str, Any]:
    """Records the task.

    Args:
      task: its name.
      outputs: the files that its rows were written to.

    Returns:
      {"source", "rows", "events", "rejected", "times", "sha256" (of the source
      and of files read with it, by name, if this is its first slice)}.
    """
    plans.check_unchanged(self._plan, self._source)
    work = self._plan.work
    tables = {pairs_path(self._plan, self._number): self._pairs}
    for column, table in self._categories.items():
      tables[values_path(self._plan, self._number, column)] = table
    for path, table in tables.items():
      table.values.write_parquet(path)
    groups = self._source.groups
    result = {
        "source": self._source.name,
        "rows": self._events + self._rejected.total,
        "events": self._events,
        "rejected": self._rejected.notes(),
        "times": self._times.notes(),
        "sha256": self._hashes() if not groups or not groups[0] else {},
    }
    kept = [*tables, rejected_path(self._plan, self._number)]
    outputs = [*outputs, *(resumable.output(work, file) for file in kept)]
    return resumable.finish(work, task, result, outputs)

  def _hashes(self) -> dict[str, str]:
    """The source's own is first."""
    paths = [self._source.path, *plans.companions(self._source)]
    return {path.name: sha256(path) for path in paths}


def run(plan: Plan, number: int, tell: Tell) -> dict[str, Any]:
  """Reads one slice into files of its own; see `Reader.finish`."""
  reader = Reader(plan, number, tell)
  writer = spill.SpillWriter(prefix(plan, number), plan.bits)
  for chunk in spill.chunks(reader, plan.bits):
    writer.add(chunk)
  return reader.finish(name(number), writer.close(plan.work))
