"""Killed anywhere, the same command goes on and makes the same dataset."""

import json
import multiprocessing
import signal

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import dataset as dataset_lib
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.logs.stages.options import Options
from tests.logs.stages.sort_stage_test import giant_log
from tests.logs.support import killing
from tests.logs.support import log_files

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow

_EXTRAS = ("level", "shop:cat")


@pytest.fixture(scope="module")
def processes():
  """Processes that start in milliseconds: everything is imported already."""
  context = multiprocessing.get_context("forkserver")
  context.set_forkserver_preload(["tests.logs.support.killing"])
  return context


@pytest.fixture(scope="module")
def log(tmp_path_factory):
  folder = tmp_path_factory.mktemp("log") / "log"
  folder.mkdir()
  giant_log(folder / "a.parquet", count=1_500)
  giant_log(folder / "b.parquet", count=600, seed=1)
  # Rejected rows are part of what must be the same.
  rows = open(folder / "b.parquet", "rb").read()
  (folder / "c.parquet").write_bytes(rows)
  return folder


def run(processes, options, kill_at, calls):
  process = processes.Process(
      target=killing.run, args=(options, kill_at, calls)
  )
  process.start()
  process.join(120)
  return process.exitcode


def options(log, out):
  return Options(
      logs=str(log), out=str(out), extras=_EXTRAS, split_time="2024-03-08"
  )


@pytest.fixture(scope="module")
def undisturbed(processes, log, tmp_path_factory):
  """Content, report and number of steps of a run that was left alone."""
  folder = tmp_path_factory.mktemp("undisturbed")
  assert run(processes, options(log, folder / "out"), -1, folder / "n") == 0
  return contents(folder / "out"), int((folder / "n").read_text())


def contents(out):
  dataset = dataset_lib.verify(out, CommandProgress(quiet=True))
  changing = ("files", "self_hash")
  return (
      {k: v for k, v in dataset.meta.items() if k not in changing},
      {k: v for k, v in dataset.meta["files"].items() if "parquet" not in k},
      json.loads((out / "report.json").read_text()),
      dataset.categories("shop").rows(),
      sorted(path.name for path in out.iterdir()),
      [path.name for path in out.parent.glob("out.*")],
  )


@pytest.mark.parametrize("part", [0, 15])
def test_a_run_killed_at_any_step_is_continued(
    processes, log, undisturbed, tmp_path_factory, part
):
  want, steps = undisturbed
  assert steps > 100
  for kill_at in range(part, steps, 30):
    folder = tmp_path_factory.mktemp("killed")
    out = folder / "out"
    status = run(processes, options(log, out), kill_at, folder.parent / "n")
    assert status == -signal.SIGKILL
    if out.exists():
      # The last thing was to be said, and the dataset is there.
      assert open_dataset(out).meta["examples_hash"] == want[0]["examples_hash"]
      continue
    with pytest.raises(UserError):
      open_dataset(folder / "out.building")
    assert run(processes, options(log, out), -1, folder.parent / "n") == 0
    assert contents(out) == want, kill_at


def test_a_run_killed_again_and_again_gets_there(
    processes, log, undisturbed, tmp_path
):
  """Each run does a little more than its largest task, and is killed."""
  want, steps = undisturbed
  out, calls = tmp_path / "new" / "out", tmp_path / "calls"
  kills = 0
  while run(processes, options(log, out), 75, calls) == -signal.SIGKILL:
    kills += 1
    assert kills < 20
  assert kills > 1
  assert int(calls.read_text()) < steps
  assert contents(out) == want


def test_finished_tasks_are_not_done_again(
    processes, log, undisturbed, tmp_path
):
  _, steps = undisturbed
  out, calls = tmp_path / "out", tmp_path / "calls"
  run(processes, options(log, out), steps - 40, calls)
  done = sorted((tmp_path / "out.building" / "work" / "done").iterdir())
  assert "read-00000.json" in [path.name for path in done]
  written = {path: path.stat().st_mtime_ns for path in done}
  run(processes, options(log, out), steps // 3, calls)
  for path, before in written.items():
    if path.exists():
      assert path.stat().st_mtime_ns == before, path


def test_a_damaged_output_of_a_finished_task_is_made_again(
    processes, log, undisturbed, tmp_path
):
  want, steps = undisturbed
  out = tmp_path / "new" / "out"
  run(processes, options(log, out), steps // 2, tmp_path / "calls")
  work = out.with_name("out.building") / "work"
  for pattern in (
      "read/00000.rows", "read/00001.users", "pairs.parquet",
      "categories/shop.values.parquet", "categories/shop.parquet",
      "count/00000/counts.npz",
  ):  # fmt: skip
    path = work / pattern
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
  assert run(processes, options(log, out), -1, tmp_path / "calls") == 0
  assert contents(out) == want


def test_several_processes_make_the_same_dataset(log, undisturbed, tmp_path):
  want, _ = undisturbed
  dataset = log_files.prepared(
      log,
      tmp_path / "out",
      extras=_EXTRAS,
      split_time="2024-03-08",
      workers=2,
  )
  assert dataset.meta["examples_hash"] == want[0]["examples_hash"]
  assert json.loads((tmp_path / "out/report.json").read_text()) == want[2]


def test_a_bad_log_is_said_by_a_worker_too(tmp_path):
  folder = tmp_path / "log"
  folder.mkdir()
  for name in "ab":
    log_files.write_csv(folder / f"{name}.csv", ["1,2"], header="x,y")
  with pytest.raises(UserError, match="csv: no column 'user_id'. Its columns"):
    log_files.prepare(folder, tmp_path / "out", workers=2)
  assert [path.name for path in tmp_path.iterdir()] == ["log"]
