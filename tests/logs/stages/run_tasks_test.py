"""Worker processes end with their run, however it ends."""

import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from behavior_lm.common import resumable
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs.stages import run_tasks
from behavior_lm.logs.stages.options import Options
from behavior_lm.logs.stages.plan import Plan

_REPO = Path(__file__).parents[3]


def plan(folder, workers=1):
  return Plan(
      building=folder,
      options=Options(logs="", out="", workers=workers),
      sources=(),
      slices=(),
      bits=0,
      now=0.0,
      noted={},
  )


def test_only_what_is_not_finished_is_run_and_results_keep_their_order(
    tmp_path,
):
  chosen = plan(tmp_path)
  chosen.work.mkdir()
  names = [f"task-{n}" for n in range(4)]
  resumable.finish(chosen.work, names[2], {"n": "before"}, [])
  ran = []

  def run(number):
    ran.append(number)
    return {"n": number}

  quiet = CommandProgress(quiet=True)
  found = run_tasks._run_stage("x", names, chosen, run, quiet)
  assert ran == [0, 1, 3]
  assert [result["n"] for result in found] == [0, 1, "before", 3]


def children(pid):
  path = Path(f"/proc/{pid}/task/{pid}/children")
  return [int(child) for child in path.read_text().split()]


def is_alive(pid):
  try:
    state = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0]
  except FileNotFoundError:
    return False
  return state != "Z"


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="processes are seen in /proc"
)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_its_run(tmp_path, number):
  folder = tmp_path / "log"
  folder.mkdir()
  rng = np.random.default_rng(0)
  for part in range(6):
    pl.DataFrame({
        "user_id": rng.integers(0, 99, 400_000),
        "event_id": rng.integers(0, 99, 400_000),
        "timestamp": 1_700_000_000 + rng.integers(0, 10**6, 400_000),
    }).write_parquet(folder / f"{part}.parquet")
  process = subprocess.Popen(
      [
          sys.executable,
          str(_REPO / "experiments" / "prepare.py"),
          f"--logs={folder}",
          f"--out={tmp_path / 'out'}",
          "--workers=2",
      ],
      env=os.environ | {"PYTHONPATH": str(_REPO)},
      stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
  )
  started = tmp_path / "out.building" / "work" / "read"
  while not started.exists():
    assert process.poll() is None
    time.sleep(0.01)
  workers = children(process.pid)
  assert len(workers) >= 2
  process.send_signal(number)
  process.wait(20)
  deadline = time.monotonic() + 20
  while any(is_alive(worker) for worker in workers):
    assert time.monotonic() < deadline, "a worker is still there"
    time.sleep(0.05)
  assert not (tmp_path / "out").exists()
