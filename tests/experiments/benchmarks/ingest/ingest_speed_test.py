from pathlib import Path
import sys
import time

import pytest

from behavior_lm.common.errors import UserError
from experiments.benchmarks.ingest import ingest_speed
from tests.logs.support import log_files

_REPO = Path(__file__).parents[4]


def python(program, *args):
  return [sys.executable, "-c", program, *map(str, args)]


def test_a_process_is_measured_from_its_start_to_its_end(tmp_path):
  large = python("x = bytearray(300 << 20); import time; time.sleep(.3);"
                 "print('first'); print('last')")  # fmt: skip
  small = python("pass")
  row, other = (ingest_speed.measure(c, tmp_path) for c in (large, small))
  assert row["printed"] == "last"
  assert 0.3 < row["seconds"] < 30 and row["cpu_seconds"] < row["seconds"]
  assert row["peak_bytes"] > 300 << 20
  # Not the memory of this process, which is larger than that.
  assert other["peak_bytes"] < 60 << 20


def test_the_largest_size_of_a_folder_is_seen(tmp_path):
  program = python(
      "import os, sys, time; f = sys.argv[1]; os.makedirs(f + '/read');"
      "open(f + '/read/a', 'w').write('x' * 500); open(f + '/b', 'w')"
      ".write('x' * 70); os.link(f + '/b', f + '/c'); time.sleep(.5);"
      "os.remove(f + '/read/a'); time.sleep(.3)",
      tmp_path / "out",
  )
  row = ingest_speed.measure(program, tmp_path, watched=tmp_path / "out")
  assert (row["disk_bytes"], row["spill_bytes"]) == (570, 500)


def test_a_failure_says_what_the_program_said(tmp_path):
  program = python("import sys; sys.exit('error: the log is bad')")
  with pytest.raises(UserError, match="ended with 1: error: the log is bad"):
    ingest_speed.measure(program, tmp_path)


@pytest.mark.slow
def test_ours_is_measured_with_its_dataset(tmp_path):
  log = log_files.write_csv(tmp_path / "log.csv", log_files.good_rows(90))
  program = [sys.executable, str(_REPO / "experiments" / "prepare.py")]
  rows = ingest_speed.run_all(
      {
          "ours": lambda log: ingest_speed.measure_ours(
              program, tmp_path, ["--unit=user"], log
          ),
          "never": lambda log: pytest.fail("above its limit"),
      },
      {("csv", 90): log},
      {"never": 50},
      lambda text: None,
  )
  [row] = rows
  assert (row["subject"], row["format"], row["events"]) == ("ours", "csv", 90)
  assert row["log_bytes"] == log.stat().st_size
  assert row["dataset_bytes"] > 1_000 and len(row["examples_hash"]) == 64
  assert row["events_per_second"] == 90 / row["seconds"]
  assert sorted(path.name for path in tmp_path.iterdir()) == [
      "log.csv", "stderr.txt", "usage.json",
  ]  # fmt: skip


def test_losing_events_is_an_error(tmp_path):
  log = tmp_path / "log"
  log.write_text("")
  with pytest.raises(UserError, match="loser: found 8 events in .*log instead"):
    ingest_speed.run_all(
        {"loser": lambda log: {"events": 8, "seconds": 1.0}},
        {("csv", 9): log},
        {},
        print,
    )


def row(events, seconds, kind="csv"):
  return {
      "events": events,
      "seconds": seconds,
      "cpu_seconds": 2 * seconds,
      "format": kind,
      "log_bytes": 50 * events,
      "spill_bytes": 20 * events,
      "disk_bytes": 32 * events,
      "dataset_bytes": 12 * events,
  }


def test_the_exponent_of_a_power_law_is_found():
  rows = [row(10**n, 3.0 * 10 ** (1.25 * n)) for n in (6, 7, 8)]
  assert ingest_speed.exponent(rows) == pytest.approx(1.25)
  assert ingest_speed.exponent(rows[:1]) is None


def test_a_plan_is_the_largest_run_times_the_size_of_the_log():
  rows = [row(10**6, 2.0), row(10**7, 20.0), row(10**6, 1.0, "parquet")]
  csv, parquet = ingest_speed.plan(rows, 5e12, [1, 4])
  # 10,000 times the largest run of 500 MB, which took 40 core seconds.
  assert csv["events"] == pytest.approx(1e11)
  assert csv["megabytes_a_core_second"] == pytest.approx(12.5)
  assert csv["hours"] == pytest.approx({"1": 4e5 / 3_600, "4": 1e5 / 3_600})
  assert csv["shuffle_bytes"] == pytest.approx(2e12)
  assert csv["disk_bytes"] == pytest.approx(3.2e12)
  assert csv["exponent"] == pytest.approx(1.0)
  assert parquet["exponent"] is None


def test_nothing_is_watched_when_nothing_is_to_be(tmp_path):
  started = time.perf_counter()
  found = ingest_speed.measure(python("pass"), tmp_path)
  assert found["disk_bytes"] == 0
  assert time.perf_counter() - started < 20
