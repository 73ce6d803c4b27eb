r"""The stages of `ingest` on Apache Beam, for more than one machine.

  slices of the log -> read -> (partition, block of rows) -> GroupByKey -> sort
                        \-> what they found -> merge -- side input --/

With categorical columns the blocks of each partition are counted between the
merge and the sort, and the vocabularies are the side input.

An element of the shuffle is a block: the rows of one partition in one chunk of
the log, packed, with the number of the task and of the chunk, so that ties
keep the order of the log. The functions are those of the local stages, and
the last one, which writes metadata and report, is run by who started it.

The folder being built must be the same for all workers: one machine, or a
file system that all of them mount. Only there are shards written; the shuffle
is the runner's.

apache-beam is optional: `ingest.on_beam` imports this module when it is asked
for.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
import contextlib
import io
import json
import logging
import os
import pathlib
import tempfile
from typing import Any

import apache_beam as beam
from apache_beam.options import pipeline_options
from apache_beam.runners.portability import fn_api_runner
import numpy as np
import polars as pl

from behavior_lm.common import resumable
from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import Interrupted
from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import ingest
from behavior_lm.logs import schema
from behavior_lm.logs.stages import read_stage
from behavior_lm.logs.stages import rows as rows_lib
from behavior_lm.logs.stages import sort_stage
from behavior_lm.logs.stages import spill
from behavior_lm.logs.stages import vocabulary
from behavior_lm.logs.stages.plan import Plan

Result = dict[str, Any]
# Number of the task, number of the chunk, rows, users (Arrow IPC).
Block = tuple[int, int, bytes, bytes]
_Stage = vocabulary.Counter | sort_stage.Sorter

# Beam's own DirectRunner first tries to download another program.
LOCAL_RUNNER = "DirectRunner"
_QUIET = ["--default_sdk_harness_log_level=ERROR"]
_WORKER_OPTIONS = "PIPELINE_OPTIONS"
_BLOCKS, _FOUND = "blocks", "found"


def run_stages(
    plan: Plan, progress: CommandProgress, runner: str, flags: Sequence[str]
) -> tuple[list[Result], list[Result]]:
  """Results of all reading and all sorting tasks; see `ingest.RunStages`.

  Args:
    plan: of the run.
    progress: told how far it is.
    runner: DirectRunner, which runs here, or another one that Beam knows.
    flags: of the pipeline, such as --direct_num_workers=2.

  Raises:
    UserError: if the log cannot be used, or there is no such runner.
    Interrupted: if the pipeline fails.
  """
  reads = [
      resumable.finished(plan.work, _read_name(number))
      for number in range(len(plan.slices))
  ]
  sorts = _sorts(plan)
  if None in reads or None in sorts:
    progress.stage(f"running on {runner}", 0, 1)
    left = [n for n, result in enumerate(sorts) if result is None]
    _run_pipeline(plan, left, runner, flags)
    reads = [
        resumable.finished(plan.work, _read_name(number))
        for number in range(len(plan.slices))
    ]
    sorts = _sorts(plan)
  found_reads = [read for read in reads if read is not None]
  found_sorts = [found for found in sorts if found is not None]
  if len(found_reads) < len(reads) or len(found_sorts) < len(sorts):
    raise Interrupted(
        f"{plan.work}: lacks what workers of {runner} should have written. Is"
        " --out on a file system that all of them see?"
    )
  return found_reads, found_sorts


def _run_pipeline(
    plan: Plan, left: Sequence[int], runner: str, flags: Sequence[str]
) -> None:
  for error in _errors(plan):
    error.unlink()
  options = pipeline_options.PipelineOptions([*_QUIET, *flags])
  try:
    pipeline = beam.Pipeline(
        runner=fn_api_runner.FnApiRunner()
        if runner == LOCAL_RUNNER
        else runner,
        options=options,
    )
  except (ValueError, AttributeError, ImportError, RuntimeError) as error:
    # Interrupted: what was read before is kept for the right runner.
    raise Interrupted(
        f"--beam_runner {runner}: {first_line(error)}"
    ) from error
  _build(pipeline, plan, left)
  try:
    with _quiet():
      pipeline.run().wait_until_finish()
  except Exception as error:
    # Beam passes a worker's error on as a text with its whole trace.
    lines = str(error).strip().splitlines() or [type(error).__name__]
    raise Interrupted(
        f"--beam_runner {runner}: the pipeline failed: {lines[-1][:300]}"
    ) from error
  for path in _errors(plan):
    raise UserError(json.loads(path.read_text("utf-8")))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Keeps Beam's talk of its own affairs away from the person's screen."""
  logger = logging.getLogger("apache_beam")
  level = logger.level
  logger.setLevel(logging.ERROR)
  # Where the worker processes of the local runner look for their options.
  before = os.environ.get(_WORKER_OPTIONS)
  os.environ[_WORKER_OPTIONS] = json.dumps(
      dict(flag.removeprefix("--").split("=") for flag in _QUIET)
  )
  try:
    yield
  finally:
    logger.setLevel(level)
    if before is None:
      del os.environ[_WORKER_OPTIONS]
    else:
      os.environ[_WORKER_OPTIONS] = before


def _build(
    pipeline: beam.Pipeline, plan: Plan, left: Sequence[int]
) -> None:
  """Adds the stages to a pipeline; only partitions in `left` are sorted."""
  read = (
      pipeline
      | "Slices" >> beam.Create(range(len(plan.slices)))
      | "SpreadSlices" >> beam.Reshuffle()
      | "Read" >> beam.ParDo(_Read(plan, left)).with_outputs(_BLOCKS, _FOUND)
  )
  merged = (
      read[_FOUND]
      | "AllFound" >> beam.combiners.ToList()
      | "Merge" >> beam.Map(_merge, plan)
  )
  # Partitions without a row are tasks too.
  every = pipeline | "Partitions" >> beam.Create([
      (partition, None) for partition in left
  ])
  grouped = (
      (every, read[_BLOCKS])
      | "Flatten" >> beam.Flatten()
      | "ByPartition" >> beam.GroupByKey()
  )
  usable = beam.pvalue.AsSingleton(merged)
  if plan.categorical:
    counted = (
        grouped
        | "Count" >> beam.ParDo(_Task(plan, vocabulary.Counter), usable)
        | "AllCounted" >> beam.combiners.ToList()
        | "Vocabularies" >> beam.Map(_make_vocabularies, plan, usable)
    )
    usable = beam.pvalue.AsSingleton(counted)
  _ = grouped | "Sort" >> beam.ParDo(_Task(plan, sort_stage.Sorter), usable)


class _Read(beam.DoFn):
  """Number of a slice -> its blocks, and whether it could be read."""

  def __init__(self, plan: Plan, left: Sequence[int]):
    self._plan = plan
    self._left = frozenset(left)

  def process(self, number: int) -> Iterator[Any]:  # Tagged outputs.
    plan, task = self._plan, _read_name(number)
    try:
      reader = read_stage.Reader(plan, number, lambda rows, file: None)
      for place, chunk in enumerate(spill.chunks(reader, plan.bits)):
        for partition, rows, users in chunk.pieces():
          if partition in self._left:
            block = (number, place, rows.tobytes(), _pack(users))
            yield beam.pvalue.TaggedOutput(_BLOCKS, (partition, block))
      reader.finish(task, [])
    except UserError as error:
      _fail(plan, task, error)
      yield beam.pvalue.TaggedOutput(_FOUND, None)
      return
    yield beam.pvalue.TaggedOutput(_FOUND, task)


def _merge(found: list[str | None], plan: Plan) -> bool:
  """Gives all pairs their codes; False if the log cannot be used."""
  if None in found:
    return False
  reads = [
      resumable.finished(plan.work, _read_name(number))
      for number in range(len(plan.slices))
  ]
  try:
    ingest.merge_reads(plan, [read for read in reads if read is not None])
  except UserError as error:
    _fail(plan, "merge", error)
    return False
  return True


def _make_vocabularies(counted: list[int], plan: Plan, usable: bool) -> bool:
  """Makes the vocabularies when all partitions are counted."""
  if usable:
    counts = [
        resumable.finished(plan.work, vocabulary.name(number))
        for number in range(plan.num_partitions)
    ]
    whole = [found for found in counts if found is not None]
    if len(whole) < len(counts):
      raise RuntimeError("the counts of some partitions have disappeared")
    vocabulary.make(plan, whole)
  return usable


class _Task(beam.DoFn):
  """(partition, its blocks) -> what a counter or a sorter writes of it.

  Args:
    plan: of the run.
    kind: makes the counter or the sorter; called once per worker.
  """

  def __init__(self, plan: Plan, kind: Callable[[Plan], _Stage]):
    self._plan = plan
    self._kind = kind
    self._stage: _Stage | None = None

  def process(
      self, group: tuple[int, Iterable[Block | None]], usable: bool
  ) -> Iterator[int]:
    if not usable:
      return
    partition, blocks = group
    if self._stage is None:
      self._stage = self._kind(self._plan)
    with tempfile.TemporaryDirectory() as folder:
      pieces = _spool(blocks, pathlib.Path(folder), self._plan.kinds)
      self._stage.run(partition, pieces)
    yield partition


class _Spooled:
  """Blocks of one reading task, in a file; see `partitions.Pieces`."""

  def __init__(self, path: pathlib.Path, kind: np.dtype):
    self._path = path
    self._kind = kind
    self._places: list[tuple[int, int, int]] = []
    self._users: list[pl.DataFrame] = []
    self.num_rows = 0

  def add(self, chunk: int, offset: int, count: int, users: bytes) -> None:
    self._places.append((chunk, offset, count))
    self._users.append(pl.read_ipc(io.BytesIO(users)))
    self.num_rows += count

  def rows(self) -> Iterator[np.ndarray]:
    with self._path.open("rb") as file:
      for _, offset, count in sorted(self._places):
        file.seek(offset)
        yield np.fromfile(file, self._kind, count)

  def users(self) -> list[pl.DataFrame]:
    return self._users


def _spool(
    blocks: Iterable[Block | None],
    folder: pathlib.Path,
    extras: schema.Kinds,
) -> dict[int, _Spooled]:
  """Blocks in any order -> pieces by reading task, with rows on disk.

  A runner hands over the blocks of a large partition one after the other, and
  once is enough here.
  """
  kind = rows_lib.row_type(extras)
  path = folder / "rows"
  found: dict[int, _Spooled] = {}
  with path.open("wb") as file:
    for block in blocks:
      if block is not None:
        number, chunk, data, users = block
        pieces = found.setdefault(number, _Spooled(path, kind))
        pieces.add(chunk, file.tell(), len(data) // kind.itemsize, users)
        file.write(data)
  return found


def _pack(users: pl.DataFrame) -> bytes:
  packed = io.BytesIO()
  users.write_ipc(packed)
  return packed.getvalue()


def _read_name(number: int) -> str:
  """Not that of the local task: this one leaves no rows behind."""
  return f"beam-{read_stage.name(number)}"


def _sorts(plan: Plan) -> list[Result | None]:
  return [
      resumable.finished(plan.work, sort_stage.name(partition))
      for partition in range(plan.num_partitions)
  ]


def _fail(plan: Plan, task: str, error: UserError) -> None:
  """Leaves a message for who started the pipeline."""
  folder = plan.work / "errors"
  folder.mkdir(exist_ok=True)
  (folder / f"{task}.json").write_text(json.dumps(str(error)), "utf-8")


def _errors(plan: Plan) -> list[pathlib.Path]:
  return sorted((plan.work / "errors").glob("*.json"))
