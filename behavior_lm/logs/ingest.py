"""Raw logs -> a dataset folder: read, check, sort, cut, write.

  read    a file, or a part of one -> rows by partition      (read_stage)
  merge   the pairs of all reading tasks -> their codes      (code_table)
  count   a partition -> its values of categorical columns   (vocabulary)
  sort    a partition -> its shards, sequences, statistics   (sort_stage)
  finish  the metadata, the tables and the report            (dataset_writer)

Counting is skipped where no categorical column was asked for.

Memory does not grow with the log: rows lie in partitions on disk and each one
is sorted and cut alone. Only the distinct pairs, the distinct values of the
categorical columns and, in the end, one row per sequence are in memory. Every
step is a task whose files are kept until the dataset is whole, so a run that
was killed goes on where it was.
"""

from collections.abc import Callable, Sequence
import functools
import os
import pathlib
from typing import Any

import polars as pl

from behavior_lm.common import resumable
from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import dataset
from behavior_lm.logs.readers import source_file
from behavior_lm.logs.readers import sources
from behavior_lm.logs.stages import code_table
from behavior_lm.logs.stages import dataset_writer
from behavior_lm.logs.stages import partitions
from behavior_lm.logs.stages import plan as plans
from behavior_lm.logs.stages import read_results
from behavior_lm.logs.stages import read_stage
from behavior_lm.logs.stages import run_tasks
from behavior_lm.logs.stages import vocabulary
from behavior_lm.logs.stages.options import Options
from behavior_lm.logs.stages.plan import Plan

Result = dict[str, Any]
# Runs the reading, the counting and the sorting tasks of a plan; `merge_reads`
# comes after the first, `vocabulary.make` after the second. Returns the
# results of the reading and of the sorting tasks.
RunStages = Callable[[Plan, CommandProgress], tuple[list[Result], list[Result]]]


def prepare(
    options: Options,
    progress: CommandProgress,
    run_stages: RunStages | None = None,
) -> dict[str, Any]:
  """Writes the dataset folder `options.out`.

  Args:
    options: what to read and how.
    progress: told how far it is.
    run_stages: runs the tasks; None runs them in `options.workers` processes
      of this machine.

  Returns:
    The content of its report.json.

  Raises:
    UserError: for every fault of the log or the options; nothing is left at
      `options.out` then.
  """
  options = options.complete()
  options.cut()  # Its faults are told before anything is read.
  found = sources.find_sources(options.logs, options.log_format)
  out = pathlib.Path(os.path.abspath(pathlib.Path(options.out).expanduser()))
  with resumable.resumable_folder(
      out,
      overwrite=options.overwrite,
      is_ours=dataset.is_dataset,
      restart=options.restart,
  ) as building:
    plan = _plan(options, found.files, building)
    reads, sorts = (run_stages or _run_here)(plan, progress)
    return dataset_writer.write(plan, reads, sorts, found.skipped, progress)


def on_beam(runner: str, flags: Sequence[str]) -> RunStages:
  """Runs the tasks on Apache Beam.

  Args:
    runner: DirectRunner, which runs here, or another one that Beam knows.
    flags: of the pipeline, such as --direct_num_workers=2.

  Raises:
    UserError: if apache-beam is not installed.
  """
  try:
    from behavior_lm.logs.builders import beam
  except ImportError as error:
    raise UserError(
        f"--beam_runner {runner}: needs apache-beam, which is not installed"
        " (pip install 'behavior_lm[beam]')."
    ) from error
  return functools.partial(beam.run_stages, runner=runner, flags=flags)


def _plan(
    options: Options,
    files: Sequence[source_file.Source],
    building: pathlib.Path,
) -> Plan:
  """The plan of the run that is to be continued, or a new one."""
  plan = plans.resume(options, files, building)
  if plan is None:
    resumable.empty(building)
    plan = plans.make(options, files, building)
    plan.work.mkdir()
    plans.save(plan)
  return plan


def _run_here(
    plan: Plan, progress: CommandProgress
) -> tuple[list[Result], list[Result]]:
  reads = run_tasks.read_all(plan, progress)
  merge_reads(plan, reads)
  if plan.categorical:
    vocabulary.make(plan, run_tasks.count_all(plan, progress))
  return reads, run_tasks.sort_all(plan, progress)


def merge_reads(plan: Plan, reads: Sequence[Result]) -> None:
  """Checks the log as a whole; gives its pairs and its values their codes.

  Args:
    plan: of the run.
    reads: the results of all reading tasks, in their order.

  Raises:
    UserError: if there are no events, or too many rows were rejected.
  """
  read_results.check(plan, reads)
  if resumable.finished(plan.work, "merge") is not None:
    return
  numbers = range(len(plan.slices))
  written = [partitions.pairs_path(plan)]
  code_table.merge(
      (pl.read_parquet(read_stage.pairs_path(plan, n)) for n in numbers),
      code_table.PAIR,
  ).write_parquet(written[0])
  for column in plan.categorical:
    written.append(partitions.values_path(plan, column))
    written[-1].parent.mkdir(exist_ok=True)
    paths = [read_stage.values_path(plan, n, column) for n in numbers]
    code_table.merge(
        map(pl.read_parquet, paths), code_table.VALUE
    ).write_parquet(written[-1])
  outputs = [resumable.output(plan.work, path) for path in written]
  resumable.finish(plan.work, "merge", {}, outputs)
