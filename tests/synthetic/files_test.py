"""Synthetic logs in files: whole, in order, and broken where asked."""

import json

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.common.progress import CommandProgress
from behavior_lm.logs import schema
from behavior_lm.logs.ingest import Options
from behavior_lm.logs.ingest import prepare
from behavior_lm.synthetic import files as synthetic_files
from behavior_lm.synthetic.files import write_logs
from behavior_lm.synthetic.generate import generate
from behavior_lm.synthetic.generate import SyntheticConfig

CONFIG = SyntheticConfig(num_users=7, num_days=2, mean_events_per_day=60.0)
SUFFIXES = synthetic_files.SUFFIXES


def read(path):
  """A log file as the canonical table, in the order of its rows."""
  match path.suffix:
    case ".parquet":
      return pl.read_parquet(path)
    case ".jsonl":
      rows = pl.read_ndjson(path)
    case _:
      separator = "\t" if path.suffix == ".tsv" else ","
      rows = pl.read_csv(path, separator=separator, infer_schema=False)
  return rows.with_columns(
      pl.col(schema.TIMESTAMP).str.to_datetime(
          "%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC"
      )
  )


def canonical(events):
  return events.sort(schema.USER_ID, schema.TIMESTAMP, maintain_order=True)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_holds_the_generated_events_in_order_of_time(
    tmp_path, suffix
):
  path = tmp_path / f"log{suffix}"
  written = write_logs(CONFIG, path)
  events = read(path)
  assert written.rows == events.height
  assert events[schema.TIMESTAMP].is_sorted()
  assert canonical(events).equals(generate(CONFIG).events)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_batches_hold_the_same_events(tmp_path, suffix):
  path = tmp_path / f"log{suffix}"
  write_logs(CONFIG, path, users_per_batch=3)
  events = read(path)
  assert canonical(events).equals(generate(CONFIG).events)
  # In order within each batch of three users.
  batch = events[schema.USER_ID].str.slice(-1).cast(pl.Int64) // 3
  assert batch.is_sorted()
  for number in range(3):
    assert events.filter(batch == number)[schema.TIMESTAMP].is_sorted()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_labels_and_truth_come_along(tmp_path, suffix):
  labels, truth = tmp_path / f"labels{suffix}", tmp_path / "truth.json"
  write_logs(
      CONFIG,
      tmp_path / "log.csv",
      labels=labels,
      truth=truth,
      users_per_batch=2,
  )
  logs = generate(CONFIG)
  table = (pl.read_csv if suffix == ".csv" else pl.read_parquet)(labels)
  assert table.cast({"bot": pl.Int8, "churn": pl.Int8}).equals(logs.labels)
  content = json.loads(truth.read_text())
  assert content["oracle"] == logs.truth["oracle"]
  assert content["config"]["num_users"] == 7
  for name in ("players", "dependencies"):
    assert content[name] == logs.truth[name].to_dict(as_series=False)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("users_per_batch", [0, 3])
def test_prepare_rejects_just_the_broken_rows(
    tmp_path, suffix, users_per_batch
):
  path = tmp_path / f"log{suffix}"
  written = write_logs(
      CONFIG, path, bad_rows=20, users_per_batch=users_per_batch
  )
  assert written.bad_rows == 20
  report = prepare(
      Options(
          logs=str(path),
          out=str(tmp_path / "dataset"),
          max_bad_fraction=0.5,
      ),
      CommandProgress(),
  )
  assert report["rows"] == written.rows + 20
  rejected = (tmp_path / "dataset" / "quarantine.jsonl").read_text()
  reasons = [json.loads(line)["reason"] for line in rejected.splitlines()]
  assert len(reasons) == 20
  assert len(set(reasons)) >= (5 if suffix == ".parquet" else 7)


def test_the_same_rows_are_broken_every_time(tmp_path):
  one, two = tmp_path / "one.csv", tmp_path / "two.csv"
  for path in (one, two):
    write_logs(CONFIG, path, bad_rows=9)
  assert one.read_bytes() == two.read_bytes()


def test_one_broken_row_is_a_cut_off_last_one(tmp_path):
  whole, cut = tmp_path / "whole.csv", tmp_path / "cut.csv"
  write_logs(CONFIG, whole)
  write_logs(CONFIG, cut, bad_rows=1)
  text, more = whole.read_text(), cut.read_text()
  assert more.startswith(text)
  assert not more.endswith("\n")
  assert 0 < len(more) - len(text) < 30


def test_a_run_that_fails_leaves_no_file_and_the_old_one_in_place(tmp_path):
  path = tmp_path / "log.csv"
  write_logs(CONFIG, path)
  before = path.read_bytes()
  # A name of 255 bytes may be, but not that of a file beside it.
  labels = tmp_path / ("x" * 251 + ".csv")
  with pytest.raises(OSError, match="name too long"):
    write_logs(SyntheticConfig(num_users=3), path, labels=labels)
  assert [file.name for file in tmp_path.iterdir()] == ["log.csv"]
  assert path.read_bytes() == before


@pytest.mark.parametrize(
    "name, says",
    [
        ("log.txt", "must end in .csv or .tsv or .jsonl or .parquet"),
        ("log", "must end in"),
        ("none/log.csv", "there is no folder"),
        ("folder.csv", "is a folder; give the name of a file"),
        ("there.csv", "is there already; --overwrite replaces it"),
    ],
)
def test_a_bad_target_is_named_before_anything_is_generated(
    tmp_path, monkeypatch, name, says
):
  (tmp_path / "folder.csv").mkdir()
  (tmp_path / "there.csv").write_text("old")
  monkeypatch.delattr(synthetic_files.synthetic, "generate_batches")
  with pytest.raises(UserError, match=says):
    write_logs(CONFIG, tmp_path / name, overwrite=False)
  assert (tmp_path / "there.csv").read_text() == "old"


def test_bad_targets_of_labels_and_truth_are_named(tmp_path):
  with pytest.raises(UserError, match="must end in .csv or .parquet"):
    write_logs(CONFIG, tmp_path / "a.csv", labels=tmp_path / "b.json")
  with pytest.raises(UserError, match="must end in .json"):
    write_logs(CONFIG, tmp_path / "a.csv", truth=tmp_path / "b.csv")
  with pytest.raises(UserError, match="bad_rows is -1"):
    write_logs(CONFIG, tmp_path / "a.csv", bad_rows=-1)


def test_every_way_to_break_a_row_is_used():
  events = generate(CONFIG).events.with_columns(
      pl.col(schema.TIMESTAMP).dt.strftime("%F")
  )
  broken = synthetic_files.broken_rows(
      events, synthetic_files.NUM_BREAKS, np.random.default_rng(0)
  )
  assert (broken[schema.USER_ID] == "").sum() == 1
  assert (broken[schema.EVENT_ID] == "").sum() == 1
  assert (broken["cut"] < 1).sum() == 1
  assert broken[schema.TIMESTAMP].str.contains("yesterday|9999|1066").sum() == 3
