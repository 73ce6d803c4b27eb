"""The command itself: its words, its exit status, and how it dies."""

from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs.dataset import open_dataset
from tests import command_server
from tests.logs.support import log_files

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow

_REPO = Path(__file__).parents[2]
_EVENTS = 1_000_000


def start(*flags, **options):
  return subprocess.Popen(
      [sys.executable, str(_REPO / "experiments" / "prepare.py"), *flags],
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      **options,
  )


def run(*flags, **options):
  done = command_server.run("experiments/prepare.py", *flags, **options)
  return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def large_log(tmp_path_factory):
  """Large enough that preparing it takes a few seconds."""
  path = tmp_path_factory.mktemp("large") / "log.parquet"
  rng = np.random.default_rng(0)
  pl.DataFrame({
      "user_id": rng.integers(0, 300, _EVENTS),
      "event_id": rng.integers(0, 300, _EVENTS),
      "timestamp": 1_700_000_000 + rng.integers(0, 2_000_000, _EVENTS),
  }).write_parquet(path, row_group_size=100_000)
  return path


def test_a_log_becomes_a_dataset_and_the_command_says_where(tmp_path):
  start = 1_700_000_000
  rows = [f"u{n % 3},act{n % 9},x,{start + 9_000 * n}" for n in range(200)]
  log = log_files.write_csv(
      tmp_path / "log.csv", [*rows, "u1,,x,1700000000"], "uid,action,item,ts"
  )
  status, out, error = run(
      f"--logs={log}",
      f"--out={tmp_path / 'out'}",
      "--columns=user_id=uid,event_id=action,design_id=item,timestamp=ts",
      "--split_time=2023-11-25",
      "--unit=user",
  )
  assert (status, error) == (0, "")
  lines = out.splitlines()
  assert lines[0].startswith("train: 3 sequences, 97 events, 3 users; 7,000 m")
  assert lines[1].startswith("test: 3 sequences, 103 events, 3 users; 7,000 mo")
  assert lines[2].endswith("times are epoch numbers in s (by their size)")
  assert lines[3] == (
      "rejected: 1 of 201 rows (1 no event; see quarantine.jsonl)"
  )
  assert "201 rows in " in lines[4] and " rows/s, peak memory " in lines[4]
  assert lines[5] == (
      f"dataset: {tmp_path / 'out'} (report: {tmp_path / 'out'}/report.md)"
  )
  assert open_dataset(tmp_path / "out").splits == ["train", "test"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "error: --logs is missing; see --help.\n"),
        (["--logs=x"], "error: --out is missing; see --help.\n"),
        (
            ["--logs=nowhere.csv", "--out=out"],
            "error: --logs nowhere.csv: no such file or folder.\n",
        ),
        (
            ["--logs=nowhere.csv", "--out=out", "--columns=a"],
            "error: --columns: 'a' is not of the form ours=theirs, for example"
            " --columns user_id=uid,event_id=action,timestamp=ts\n",
        ),
        (
            ["nowhere.csv"],
            "error: unexpected argument 'nowhere.csv'. Every option starts with"
            " --; see --help.\n",
        ),
    ],
)
def test_bad_usage_ends_with_one_line(tmp_path, flags, message):
  assert run(*flags, cwd=tmp_path) == (2, "", message)
  assert list(tmp_path.iterdir()) == []


def test_a_bad_log_ends_with_its_message_and_nothing_is_written(tmp_path):
  log = log_files.write_csv(tmp_path / "log.csv", ["u,e,d,never"] * 3)
  status, out, error = run(f"--logs={log}", f"--out={tmp_path / 'out'}")
  assert (status, out) == (2, "")
  assert error.startswith("error: 3 of 3 rows (100.0%) were rejected; --max_b")
  assert "Traceback" not in error
  assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]


def test_a_second_run_says_how_to_replace_the_first(tmp_path):
  log = log_files.write_csv(tmp_path / "log.csv", log_files.good_rows(5))
  flags = [f"--logs={log}", f"--out={tmp_path / 'out'}"]
  assert run(*flags)[0] == 0
  status, _, error = run(*flags)
  assert status == 2
  assert error == (
      f"error: --out {tmp_path / 'out'}: holds a complete dataset. Pass"
      " --overwrite to replace it, or choose another folder.\n"
  )
  assert run(*flags, "--overwrite")[0] == 0


def test_extra_columns_are_kept_and_a_changed_byte_is_found(tmp_path):
  rows = [f"u{n % 3},e,{1_700_000_000 + 9 * n},{n / 4}" for n in range(20)]
  log = log_files.write_csv(
      tmp_path / "log.csv", rows, "user_id,event_id,timestamp,lvl"
  )
  out = tmp_path / "out"
  status, _, error = run(
      f"--logs={log}", f"--out={out}", "--extras=level", "--columns=level=lvl"
  )
  assert (status, error) == (0, "")
  source = open_dataset(out).source("train")
  levels = np.concatenate([source[i]["level"] for i in range(len(source))])
  assert sorted(levels) == [n / 4 for n in range(20)]
  status, text, _ = run(f"--verify={out}")
  assert status == 0 and "files," in text and "all as they were" in text
  assert "no later event crosses its splits" in text
  [shard] = out.glob("tfds/**/*array_record*")
  content = bytearray(shard.read_bytes())
  content[-1] ^= 1  # In the padding, where reading never looks.
  shard.write_bytes(content)
  status, _, error = run(f"--verify={out}")
  assert status == 2
  assert error.startswith(f"error: {shard}: its bytes have changed since")


def test_the_formats_are_listed():
  status, text, _ = run("--list_formats")
  assert status == 0
  assert {"auto", "csv", "tsv", "jsonl", "parquet"} <= set(text.split())


def test_help_names_every_flag():
  _, out, _ = run("--help")
  for flag in (
      "logs", "out", "unit", "split_time", "user_fraction", "columns",
      "timezone", "time_unit", "format", "encoding", "max_bad_fraction",
      "seed", "overwrite", "drop_duplicates", "extras", "verify",
      "list_formats", "restart", "valid_time", "valid_fraction",
      "leave_one_out", "category_cap", "workers", "beam_runner", "beam_options",
  ):  # fmt: skip
    assert f"--{flag}:" in out or f"--[no]{flag}:" in out


# Files that mark how far a run is: reading, sorting, finishing.
_MARKS = ["work/read/*.rows", "work/sort/*/*.array_record", "tfds/*/*/*.json"]


def interrupted(number, mark, flags, folder):
  """Sends a signal when the file `mark` is there; tries again if too late.

  Returns:
    Exit status, standard output and error.
  """
  for _ in range(5):
    process = start(*flags)
    while process.poll() is None:
      if any(folder.glob(f"out.building/{mark}")):
        process.send_signal(number)
        break
      time.sleep(0.002)
    out, error = process.communicate(timeout=300)
    if process.returncode:
      return process.returncode, out, error
    shutil.rmtree(folder / "out")
  raise AssertionError(f"{mark} was never seen in time")


@pytest.fixture(scope="module")
def large_hash(tmp_path_factory, large_log):
  """What an undisturbed run makes of the large log."""
  out = tmp_path_factory.mktemp("undisturbed") / "out"
  assert run(f"--logs={large_log}", f"--out={out}", "--unit=user")[0] == 0
  return open_dataset(out).meta["examples_hash"]


@pytest.mark.parametrize(
    ("number", "mark"),
    [*((signal.SIGKILL, mark) for mark in _MARKS), (signal.SIGTERM, _MARKS[1])],
)
def test_a_stopped_run_leaves_no_dataset_and_is_continued(
    tmp_path, large_log, large_hash, number, mark
):
  flags = [f"--logs={large_log}", f"--out={tmp_path / 'out'}", "--unit=user"]
  status, out, error = interrupted(number, mark, flags, tmp_path)
  if number == signal.SIGTERM:
    assert (status, out) == (128 + number, "")
    assert error.splitlines()[-1] == (
        f"stopped by SIGTERM; nothing was written at {tmp_path / 'out'}. Run"
        " the same command again to continue."
    )
  assert "Traceback" not in error
  [leftover] = tmp_path.iterdir()
  for folder in (tmp_path / "out", leftover):
    with pytest.raises(UserError):
      open_dataset(folder)
  status, _, error = run(*flags)
  assert status == 0, error
  assert [path.name for path in tmp_path.iterdir()] == ["out"]
  dataset = open_dataset(tmp_path / "out")
  assert dataset.meta["examples_hash"] == large_hash
  assert sorted(path.name for path in dataset.path.iterdir()) == [
      "dataset.json", "pairs.parquet", "quarantine.jsonl", "report.json",
      "report.md", "sequences.parquet", "tfds",
  ]  # fmt: skip


def test_other_flags_are_refused_until_the_leftover_is_discarded(
    tmp_path, large_log
):
  flags = [f"--logs={large_log}", f"--out={tmp_path / 'out'}"]
  interrupted(signal.SIGKILL, _MARKS[0], flags, tmp_path)
  status, _, error = run(*flags, "--unit=user")
  assert status == 2
  assert error == (
      f"error: --out {tmp_path / 'out'}: an unfinished run is there, and it was"
      " started with --unit user_day, not user. Repeat the first command to"
      " continue it, or pass --restart to discard it.\n"
  )
  status, _, error = run(*flags, "--unit=user", "--restart", "--workers=2")
  assert status == 0, error
  assert open_dataset(tmp_path / "out").meta["unit"] == "user"
