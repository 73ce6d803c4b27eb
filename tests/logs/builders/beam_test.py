"""Beam makes the dataset that the local path makes, and says what it says."""

import json
import signal
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import Interrupted
from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import ingest
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.logs.readers import parquet_log
from behavior_lm.logs.stages import partitions
from behavior_lm.logs.stages import plan
from behavior_lm.logs.stages import sort_stage
from behavior_lm.logs.stages import spill
from behavior_lm.logs.stages.options import Options
from tests.logs import ingest_resume_test
from tests.logs.support import log_files

_TWO_WORKERS = [
    "--direct_num_workers=2", "--direct_running_mode=multi_processing",
]  # fmt: skip
processes = ingest_resume_test.processes


@pytest.fixture(scope="module")
def log(tmp_path_factory):
  """Three files, ties, a giant user and rows that are rejected."""
  folder = tmp_path_factory.mktemp("log") / "log"
  folder.mkdir()
  rng = np.random.default_rng(0)
  for name in "abc":
    count = 900
    users = rng.integers(0, 30, count)
    times = 1_709_500_000 + rng.integers(0, 2_000, count) * 180
    pl.DataFrame({
        "user_id": np.where(rng.random(count) < 0.4, 0, users).astype(str),
        "event_id": rng.integers(0, 40, count).astype(str),
        "timestamp": np.where(rng.random(count) < 0.005, -5, times),
        "level": rng.random(count),
        "shop": rng.zipf(1.5, count).clip(0, 99).astype(str),
    }).write_parquet(folder / f"{name}.parquet", row_group_size=100)
  return folder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
  """Many tasks, partitions, chunks and shards of a small log."""
  monkeypatch.setattr(plan, "SLICE_ROWS", 400)
  monkeypatch.setattr(parquet_log, "BATCH_ROWS", 60)
  monkeypatch.setattr(spill, "partition_bits", lambda rows: 3)
  monkeypatch.setattr(spill, "MIN_CHUNK_ROWS", 150)
  monkeypatch.setattr(spill, "PIECE_ROWS", 0)
  monkeypatch.setattr(partitions, "MAX_ROWS", 300)
  monkeypatch.setattr(sort_stage, "SHARD_EVENTS", 200)


def options(log, out):
  return Options(
      logs=str(log),
      out=str(out),
      extras=("level", "shop:cat"),
      split_time="2024-03-06",
  )


def prepare(log, out, runner="DirectRunner", flags=()):
  return ingest.prepare(
      options(log, out),
      CommandProgress(quiet=True),
      ingest.on_beam(runner, flags),
  )


def contents(out):
  dataset = open_dataset(out)
  meta = dataset.meta
  return (
      {k: v for k, v in meta.items() if k not in ("files", "self_hash")},
      json.loads((out / "report.json").read_text()),
      (out / "quarantine.jsonl").read_text(),
      dataset.categories("shop").rows(),
      [path.name for path in out.parent.glob("out*")],
  )


@pytest.fixture(scope="module")
def local(log, tmp_path_factory):
  """What the local path makes, of few and large parts."""
  out = tmp_path_factory.mktemp("local") / "out"
  ingest.prepare(options(log, out), CommandProgress(quiet=True))
  return contents(out)


@pytest.mark.parametrize(
    "flags", [(), pytest.param(_TWO_WORKERS, marks=pytest.mark.slow)]
)
def test_beam_makes_the_dataset_of_the_local_path(log, local, tmp_path, flags):
  report = prepare(log, tmp_path / "out", flags=flags)
  found = contents(tmp_path / "out")
  assert found == local
  assert report == found[1]
  assert local[0]["quarantined_rows"] > 5 and len(local[2]) > 500


@pytest.mark.slow
def test_a_killed_local_run_is_continued_on_beam(
    processes, log, local, tmp_path
):
  out = tmp_path / "out"
  status = ingest_resume_test.run(
      processes, options(log, out), 160, tmp_path / "calls"
  )
  assert status == -signal.SIGKILL
  done = tmp_path / "out.building" / "work" / "done"
  sorted_before = {
      path.name: path.stat().st_mtime_ns for path in done.glob("sort-*")
  }
  assert 0 < len(sorted_before) < 4
  runs = []

  def watched(*args, **kwargs):
    result = stages(*args, **kwargs)
    for name, before in sorted_before.items():
      runs.append((done / name).stat().st_mtime_ns == before)
    return result

  stages = ingest.on_beam("DirectRunner", [])
  ingest.prepare(options(log, out), CommandProgress(quiet=True), watched)
  assert runs and all(runs)
  assert contents(out) == local


@pytest.mark.slow
def test_a_bad_log_is_said_as_the_local_path_says_it(tmp_path):
  folder = tmp_path / "log"
  folder.mkdir()
  for name in "ab":
    rows = log_files.good_rows(9) + ["u,e,d,never"] * (name == "b")
    log_files.write_csv(folder / f"{name}.csv", rows)

  def said():
    for stages in (None, ingest.on_beam("DirectRunner", [])):
      with pytest.raises(UserError) as caught:
        ingest.prepare(
            Options(logs=str(folder), out=str(tmp_path / "out")),
            CommandProgress(quiet=True),
            stages,
        )
      yield str(caught.value)

  [message] = set(said())
  assert message.startswith("1 of 19 rows (5.3%) were rejected;")
  log_files.write_csv(folder / "c.csv", ["1,2"], header="x,y")
  [message] = set(said())
  assert message.startswith("c.csv: no column 'user_id'. Its columns: 'x', 'y'")
  assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.slow
def test_a_defect_in_a_worker_keeps_what_is_done(log, tmp_path, monkeypatch):
  def broken(*args):
    raise ZeroDivisionError("a defect of ours")

  monkeypatch.setattr(sort_stage.Sorter, "run", broken)
  with pytest.raises(Interrupted, match="DirectRunner: the pipeline failed: "):
    prepare(log, tmp_path / "out")
  assert (tmp_path / "out.building" / "work" / "pairs.parquet").exists()


def test_an_unknown_runner_is_named(log, tmp_path):
  with pytest.raises(UserError, match="--beam_runner NoSuchRunner: "):
    prepare(log, tmp_path / "out", runner="NoSuchRunner")


@pytest.mark.slow
def test_without_apache_beam_its_absence_is_said():
  program = """
import sys
sys.modules["apache_beam"] = None
from behavior_lm.logs import ingest
try:
  ingest.on_beam("DirectRunner", [])
except ingest.UserError as error:
  print(error, end="")
"""
  found = subprocess.run(
      [sys.executable, "-c", program], capture_output=True, text=True
  )
  assert found.stdout == (
      "--beam_runner DirectRunner: needs apache-beam, which is not installed"
      " (pip install 'behavior_lm[beam]')."
  )
