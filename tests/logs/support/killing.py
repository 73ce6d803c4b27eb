"""A run that is killed at a chosen moment, for the tests of resuming."""

import functools
import os
from pathlib import Path
import shutil
import signal

from behavior_lm.common import folders as folder
from behavior_lm.common import resumable
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import ingest
from behavior_lm.logs.builders import event_log
from behavior_lm.logs.stages import code_table
from behavior_lm.logs.stages import dataset_writer
from behavior_lm.logs.stages import external_sort
from behavior_lm.logs.stages import partitions
from behavior_lm.logs.stages import plan
from behavior_lm.logs.stages import sort_stage
from behavior_lm.logs.stages import spill
from behavior_lm.logs.stages import vocabulary
from behavior_lm.logs.stages.options import Options

# Every function that writes something, or says that something is written.
_STEPS = [
    (plan, "save"), (spill.SpillWriter, "add"), (resumable, "finish"),
    (code_table, "merge"), (external_sort, "_distribute"),
    (external_sort, "sort_rows"), (vocabulary, "make"),
    (event_log, "write_shard"), (event_log, "write_metadata"),
    (dataset_writer, "_link"), (dataset_writer, "_write_json"),
    (folder, "move_into_place"), (shutil, "rmtree"), (os, "rename"),
]  # fmt: skip


def small_parts():
  """Makes a small log go the way of a large one."""
  plan.SLICE_ROWS = 400
  spill.partition_bits = lambda rows: 2
  spill.MIN_CHUNK_ROWS, spill.PIECE_ROWS = 150, 0
  partitions.MAX_ROWS = 300
  sort_stage.SHARD_EVENTS = 400


def run(options: Options, kill_at: int, calls: Path) -> None:
  """Prepares; dies right before or right after the step of that number.

  Args:
    options: of the run.
    kill_at: the number, from 0; -1 lives.
    calls: file that gets the number of steps of a run that lived.
  """
  small_parts()
  count = 0

  def step():
    nonlocal count
    if count == kill_at:
      os.kill(os.getpid(), signal.SIGKILL)
    count += 1

  def watched(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
      step()
      result = function(*args, **kwargs)
      step()
      return result

    return wrapper

  for owner, name in _STEPS:
    setattr(owner, name, watched(getattr(owner, name)))
  ingest.prepare(options, CommandProgress(quiet=True))
  calls.write_text(str(count))
