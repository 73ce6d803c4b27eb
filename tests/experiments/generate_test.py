"""The commands that make synthetic logs and compare them."""

import json
from pathlib import Path
import subprocess
import sys

import polars as pl
import pytest

from behavior_lm.synthetic.generate import generate
from behavior_lm.synthetic.generate import SyntheticConfig
from tests import command_server

REPO = Path(__file__).resolve().parents[2]


def run(command, *arguments):
  return command_server.run(f"experiments/{command}", *arguments)


@pytest.mark.slow
def test_generate_writes_log_labels_and_truth_and_says_so(tmp_path):
  out, labels = tmp_path / "log.parquet", tmp_path / "labels.csv"
  truth = tmp_path / "truth.json"
  done = run(
      "generate.py", "--out", out, "--labels", labels, "--truth", truth,
      "--num_users=20", "--num_days=2", "--mean_events_per_day=30",
      "--seed=4", "--bad_rows=5",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  config = SyntheticConfig(
      seed=4, num_users=20, num_days=2, mean_events_per_day=30.0
  )
  logs = generate(config)
  rows = logs.events.height
  first, second, maps, third = done.stdout.splitlines()
  assert first.startswith(f"{rows:,} rows and 5 broken ones, 20 users, ")
  assert first.endswith(str(out))
  assert second.startswith(f"labels: {labels} (best possible AUC: bot ")
  ceiling = logs.truth["oracle"]["next_map"]
  assert maps.startswith(f"next map: {ceiling['moves']} moves, best possible")
  assert f" {ceiling['top1']:.3f}, by the last two maps" in maps
  assert third == f"truth: {truth}"
  assert pl.read_parquet(out).height == rows + 5
  assert pl.read_csv(labels)["bot"].to_list() == logs.labels["bot"].to_list()
  assert json.loads(truth.read_text())["oracle"] == logs.truth["oracle"]


@pytest.mark.slow
def test_generate_makes_as_many_events_as_asked_and_soils_them(tmp_path):
  out, clean = tmp_path / "log.parquet", tmp_path / "clean.parquet"
  flags = ["--num_events=40000", "--num_days=3", "--users_per_batch=20"]
  assert run("generate.py", "--out", clean, *flags).returncode == 0
  done = run(
      "generate.py", "--out", out, *flags, "--missing_designs=0.1",
      "--duplicate_rows=0.2", "--shuffled_ties=0.5", "--clock_jitter=2",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  rows = pl.scan_parquet(clean).select(pl.len()).collect().item()
  assert 0.75 < rows / 40_000 < 1.25
  soiled = pl.read_parquet(out)
  assert soiled.height == pytest.approx(1.2 * rows, rel=0.05)
  assert soiled["design_id"].null_count() > 0.05 * rows


@pytest.mark.slow
def test_memory_does_not_grow_with_the_log(tmp_path):
  """Ten times the events, in batches of the same size."""
  peaks = []
  for events in (600_000, 6_000_000):
    code = (
        "import resource, runpy, sys; sys.argv = sys.argv[1:];"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    code = (
        "import atexit, resource;"
        "atexit.register(lambda: print('peak', resource.getrusage("
        "resource.RUSAGE_SELF).ru_maxrss));" + code
    )
    done = subprocess.run(
        [
            sys.executable, "-c", code, REPO / "experiments/generate.py",
            f"--out={tmp_path / 'log.parquet'}", f"--num_events={events}",
            "--mean_events_per_day=1500", "--users_per_batch=20",
        ],
        capture_output=True, text=True, check=True, cwd=REPO,
    )  # fmt: skip
    peaks.append(int(done.stdout.splitlines()[-1].split()[1]))
  assert peaks[1] < 1.6 * peaks[0]


@pytest.mark.parametrize(
    "arguments, says",
    [
        (
            ["--out=x.csv", "--duplicate_rows=2"],
            "error: duplicate_rows is 2.0; give a share from 0 to 1.\n",
        ),
        (
            ["--out=x.csv", "--num_events=9", "--presence=0"],
            "error: presence is 0.0: no number of users makes 9 events.\n",
        ),
        ([], "error: --out is missing; give a file, as in --out logs.csv.\n"),
        (["--out=x.doc"], "error: x.doc: the name must end in .csv or"),
        (["--out=x.csv", "--num_users=0"], "error: num_users is 0; give at"),
        (["x.csv"], "error: unexpected argument 'x.csv'"),
    ],
)
def test_generate_ends_with_one_clear_line(arguments, says):
  done = run("generate.py", *arguments)
  assert done.returncode == 2
  assert done.stderr.startswith(says)
  assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_compare_writes_a_table_of_ratios(tmp_path):
  data = tmp_path / "real.parquet"
  # A log with naive times, as the real one has.
  config = SyntheticConfig(seed=1, num_users=2, num_days=5)
  generate(config).events.with_columns(
      pl.col("timestamp").dt.replace_time_zone(None)
  ).write_parquet(data)
  out = tmp_path / "table"
  done = run(
      "studies/synthetic/run.py", "--data", data, "--out", out, "--num_users=2",
      "--num_days=5", "--seed=2",
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  result = json.loads(out.with_suffix(".json").read_text())
  assert result["data"] == "real.parquet"
  assert result["seed"] == 2
  assert "--num_users=2" in result["command"]
  rows = {row["statistic"]: row for row in result["rows"]}
  assert 0.8 < rows["gaps of 0 s, share"]["ratio"] < 1.25
  assert {"5-gram perplexity", "gap in s, p99"} <= set(rows)
  table = out.with_suffix(".md").read_text()
  assert table.count("\n| ") == len(rows) + 1
  near = sum(row["near"] for row in rows.values())
  assert 0 < near == table.count("| yes |\n")
  assert len(rows) - near == table.count("| no |\n")
  assert f"{near} of {len(rows)} statistics are within 25%" in done.stdout
  assert str(tmp_path) not in table.replace(result["command"], "")


def test_compare_names_a_missing_log():
  done = run("studies/synthetic/run.py", "--data=none.parquet")
  assert done.returncode == 2
  assert done.stderr == (
      "error: --data none.parquet is not a file; give a Parquet log.\n"
  )
