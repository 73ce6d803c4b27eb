"""Runs the tasks of a stage: in this process, or in several."""

from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
import multiprocessing
import os
import threading
import time
from typing import Any

from behavior_lm.common import resumable
from behavior_lm.common.errors import Interrupted
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs.stages import read_stage
from behavior_lm.logs.stages import sort_stage
from behavior_lm.logs.stages import vocabulary
from behavior_lm.logs.stages.plan import Plan

Result = dict[str, Any]
Task = Callable[[int], Result]

# The stages, as progress names them.
_READ, _COUNT, _SORT = "reading parts", "counting values", "sorting partitions"
# Polars reads it when it is imported, so workers see it and this process not.
_THREADS = "POLARS_MAX_THREADS"
# Seconds until a worker notices that its run was killed.
_ORPHAN_CHECK = 0.2


def read_all(plan: Plan, progress: CommandProgress) -> list[Result]:
  """Results of all reading tasks, in the order of the log."""
  names = [read_stage.name(number) for number in range(len(plan.slices))]
  before = 0

  def read(number: int) -> Result:
    nonlocal before
    result = read_stage.run(
        plan, number, lambda rows, file: progress.rows(before + rows, file)
    )
    before += result["rows"]
    return result

  return _run_stage(_READ, names, plan, read, progress)


def count_all(plan: Plan, progress: CommandProgress) -> list[Result]:
  """Results of all counting tasks, in the order of the partitions."""
  names = [vocabulary.name(n) for n in range(plan.num_partitions)]
  return _run_stage(_COUNT, names, plan, _lazily(_COUNT, plan), progress)


def sort_all(plan: Plan, progress: CommandProgress) -> list[Result]:
  """Results of all sorting tasks, in the order of the partitions."""
  names = [sort_stage.name(n) for n in range(plan.num_partitions)]
  return _run_stage(_SORT, names, plan, _lazily(_SORT, plan), progress)


def _lazily(word: str, plan: Plan) -> Task:
  """The task of a stage; its tables are read when it runs first."""
  task: list[Task] = []

  def run(number: int) -> Result:
    if not task:
      task.append(_make_task(word, plan))
    return task[0](number)

  return run


def _make_task(word: str, plan: Plan) -> Task:
  if word == _READ:
    return lambda number: read_stage.run(plan, number, lambda rows, file: None)
  if word == _COUNT:
    return vocabulary.Counter(plan).run
  return sort_stage.Sorter(plan).run


def _run_stage(
    word: str,
    names: Sequence[str],
    plan: Plan,
    run: Task,
    progress: CommandProgress,
) -> list[Result]:
  """Runs what no earlier run has finished."""
  found = {
      number: result
      for number, task in enumerate(names)
      if (result := resumable.finished(plan.work, task)) is not None
  }
  left = [number for number in range(len(names)) if number not in found]
  workers = min(plan.options.workers, len(left))
  if workers > 1:
    done = _in_processes(word, plan, left, workers)
  else:
    done = ((number, run(number)) for number in left)
  for number, result in done:
    found[number] = result
    progress.stage(word, len(found), len(names))
  return [found[number] for number in range(len(names))]


def _in_processes(
    word: str, plan: Plan, numbers: Sequence[int], workers: int
) -> Iterator[tuple[int, Result]]:
  """Yields number and result of each task as it ends."""
  threads = os.environ.get(_THREADS)
  if threads is None:
    # Else each worker would have a thread for every core.
    count = max(1, (os.cpu_count() or 1) // workers)
    os.environ[_THREADS] = str(count)
  pool = futures.ProcessPoolExecutor(
      workers,
      # Not fork: the threads of Polars do not survive it.
      mp_context=multiprocessing.get_context("spawn"),
      initializer=_start_worker,
      initargs=(plan, os.getpid()),
  )
  try:
    waiting = {
        pool.submit(_work, word, number): number for number in numbers
    }
    for future in futures.as_completed(waiting):
      yield waiting[future], future.result()
    pool.shutdown()
  except futures.process.BrokenProcessPool as error:
    raise Interrupted(
        f"{word}: a worker process was killed; memory may be short. Run the"
        " same command again with fewer --workers to continue."
    ) from error
  finally:
    if threads is None:
      del os.environ[_THREADS]
    # Nothing is left after success; after an error nobody waits for the rest.
    for child in multiprocessing.active_children():
      child.terminate()
    pool.shutdown(wait=False, cancel_futures=True)


# In a worker process: the tasks of the stages, by the words for them.
_worker: dict[str, Task] = {}


def _start_worker(plan: Plan, parent: int) -> None:
  threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
  for word in (_READ, _COUNT, _SORT):
    _worker[word] = _lazily(word, plan)


def _work(word: str, number: int) -> Result:
  return _worker[word](number)


def _end_with(parent: int) -> None:
  """Ends this process when its parent is gone: nobody wants its results."""
  while os.getppid() == parent:
    time.sleep(_ORPHAN_CHECK)
  os._exit(1)
