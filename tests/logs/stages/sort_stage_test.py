"""A partition that is too large for memory gives what a small one gives."""

import json

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.logs.stages import external_sort
from behavior_lm.logs.stages import partitions
from behavior_lm.logs.stages import sort_stage
from behavior_lm.logs.stages import spill
from tests.logs.support import log_files

_HOUR = 3_600


def giant_log(path, count=6_000, seed=0):
  """Most events are of one user; ties, duplicates and days are common."""
  rng = np.random.default_rng(seed)
  users = np.where(rng.random(count) < 0.9, "giant", rng.integers(0, 9, count))
  pl.DataFrame({
      "user_id": users,
      "event_id": rng.integers(0, 30, count).astype(str),
      "timestamp": 1_709_500_000 + rng.integers(0, 200 * _HOUR, count) // 9 * 9,
      "level": rng.random(count),
      "shop": rng.zipf(1.5, count).clip(0, 99).astype(str),
  }).write_parquet(path)
  return path


def prepared(log, out, **options):
  dataset = log_files.prepared(
      log, out, extras=("level", "shop:cat"), **options
  )
  report = json.loads((out / "report.json").read_text())
  return dataset, report


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"unit": "user"},
        {"unit": "user_day", "timezone": "Asia/Shanghai"},
        {"unit": "user_day", "drop_duplicates": True},
        {"unit": "user", "split_time": "2024-03-08", "user_fraction": 0.5},
        {"unit": "user_day", "leave_one_out": True},
    ],
)
def test_one_giant_user_is_sorted_through_the_disk(
    tmp_path, monkeypatch, options
):
  log = giant_log(tmp_path / "log.parquet")
  want, want_report = prepared(log, tmp_path / "want", **options)
  ranges = []
  sort_rows = external_sort.sort_rows
  monkeypatch.setattr(
      external_sort,
      "sort_rows",
      lambda rows: ranges.append(len(rows)) or sort_rows(rows),
  )
  monkeypatch.setattr(partitions, "MAX_ROWS", 500)
  got, got_report = prepared(log, tmp_path / "got", **options)
  assert len(ranges) > 20 and max(ranges) <= 500
  assert got.categories("shop").equals(want.categories("shop"))
  assert got.meta["examples_hash"] == want.meta["examples_hash"]
  assert got.meta["fingerprint"] == want.meta["fingerprint"]
  assert got_report == want_report
  for split in want.splits:
    assert got.sequences(split).equals(want.sequences(split))


@pytest.mark.slow
@settings(max_examples=6)  # Each prepares two datasets.
@given(st.integers(0, 10**6), st.integers(40, 300), st.integers(0, 3))
def test_the_dataset_depends_on_no_size_of_anything(
    tmp_path_factory, seed, max_rows, bits
):
  folder = tmp_path_factory.mktemp("log")
  log = giant_log(folder / "log.parquet", count=400, seed=seed)
  want, want_report = prepared(log, folder / "want")
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(partitions, "MAX_ROWS", max_rows)
    patch.setattr(sort_stage, "SHARD_EVENTS", max_rows)
    patch.setattr(spill, "partition_bits", lambda rows: bits)
    patch.setattr("behavior_lm.logs.readers.parquet_log.BATCH_ROWS", 70)
    patch.setattr(spill, "MIN_CHUNK_ROWS", 100)
    patch.setattr(spill, "PIECE_ROWS", 0)
    got, got_report = prepared(log, folder / "got")
  assert got.meta["examples_hash"] == want.meta["examples_hash"]
  assert got_report == want_report


@pytest.mark.slow
def test_the_order_of_partitions_is_that_of_the_dataset(tmp_path, monkeypatch):
  rng = np.random.default_rng(0)
  log = tmp_path / "log.parquet"
  pl.DataFrame({
      "user_id": rng.integers(0, 300, 5_000).astype(str),
      "event_id": rng.zipf(1.3, 5_000).astype(str),
      "timestamp": 1_709_500_000 + np.arange(5_000) * 60,
      "level": rng.random(5_000),
      "shop": rng.integers(0, 9, 5_000),
  }).write_parquet(log)
  want, want_report = prepared(log, tmp_path / "want")
  monkeypatch.setattr(spill, "partition_bits", lambda rows: 4)
  got, got_report = prepared(log, tmp_path / "got")
  # The growth of the vocabulary is counted from partition to partition.
  assert [row["events"] for row in want_report["growth"]] == [1_000, 5_000]
  assert got_report == want_report
  assert got.sequences("train").equals(want.sequences("train"))
  source = got.source("train")
  for row in got.sequences("train").head(400).iter_rows(named=True):
    assert source[row["index"]]["user_id"] == row["user_id"]


def test_a_shard_holds_no_more_events_than_it_should(tmp_path, monkeypatch):
  monkeypatch.setattr(sort_stage, "SHARD_EVENTS", 1_000)
  log = giant_log(tmp_path / "log.parquet")
  dataset, _ = prepared(log, tmp_path / "out")
  shards = [name for name in dataset.meta["files"] if "array_record" in name]
  assert 5 <= len(shards) <= 12
  events = dataset.sequences("train")["num_events"].sum()
  source = dataset.source("train")
  assert events == sum(len(source[i]["pair"]) for i in range(len(source)))
