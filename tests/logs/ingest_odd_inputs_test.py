"""Relatives of logs that were once read wrong: each is read as it is meant.

Kinds that have many cases elsewhere (times, zones, links, compression, headers,
categories, document stores, folders as columns) are with their readers.
"""

import datetime as dt
import gzip
import pathlib

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from behavior_lm.common.errors import UserError
from tests.logs.support import log_files

_TEXT = "user_id,event_id,timestamp\nu,e,2024-03-04\n"
_JSON = '{"user_id":"u","event_id":"e","timestamp":"2024-03-04"}\n'


def _moment(*parts):
  return int(dt.datetime(*parts, tzinfo=dt.UTC).timestamp() * 1_000_000)


# Microseconds that a log of INT96 holds, and what is read.
@pytest.mark.parametrize(
    ("moments", "want"),
    [
        ([_moment(2024, 6, 1, 0, 0, 0, 1)], ["2024-06-01 00:00:00.000001"]),
        ([_moment(1995, 2, 28, 23, 59)], ["1995-02-28 23:59:00"]),
        ([_moment(2024, 6, 1), None], ["2024-06-01 00:00:00"]),
        # What no log means, and what nanoseconds since 1970 cannot hold.
        ([_moment(2024, 6, 1), _moment(1969, 12, 31)], ["2024-06-01 00:00:00"]),
        ([_moment(2024, 6, 1), _moment(9999, 12, 31)], ["2024-06-01 00:00:00"]),
        ([_moment(2024, 6, 1), _moment(1, 1, 1)], ["2024-06-01 00:00:00"]),
    ],
)
def test_int96_is_read_to_the_microsecond_or_its_row_is_kept_apart(
    tmp_path, moments, want
):
  table = pa.table({
      "user_id": ["u"] * len(moments),
      "event_id": ["e"] * len(moments),
      "timestamp": pa.array(moments, pa.timestamp("us")),
  })
  path = tmp_path / "log.parquet"
  pq.write_table(table, path, use_deprecated_int96_timestamps=True)
  dataset = log_files.prepared(
      path, tmp_path / "out", timezone="Asia/Tokyo", max_bad_fraction=0.5
  )
  found = log_files.events_of(dataset)["timestamp"]
  assert found.dt.replace_time_zone(None).to_list() == [
      dt.datetime.fromisoformat(text) for text in want
  ]
  assert len(log_files.quarantined(dataset)) == len(moments) - len(want)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("b.csv", b""),
        ("b.csv", b"user_id,event_id,timestamp\n"),
        ("b.csv.gz", b""),
        ("b.csv.gz", gzip.compress(b"")),
        ("b.csv.gz", gzip.compress(b"user_id,event_id,timestamp")),
        ("b.csv", b"\n\n"),
        ("b.csv", b"\xef\xbb\xbf"),
    ],
    ids=range(7),
)
def test_a_part_without_rows_takes_none_from_the_others(
    tmp_path, name, content
):
  folder = tmp_path / "logs"
  folder.mkdir()
  for part in ("a", "c"):
    (folder / f"{part}.csv").write_text(_TEXT)
  (folder / name).write_bytes(content)
  report = log_files.prepare(folder, tmp_path / "out")
  assert (report["num_events"], report["rejected"]["rows"]) == (2, 0)
  # Read or not, it is named.
  sources = {source["name"] for source in report["sources"]}
  assert name in sources | set(report["not_read"])


@pytest.mark.parametrize("content", [b"", b"\n", b"[]"])
def test_a_part_without_objects_takes_none_from_the_others(tmp_path, content):
  folder = tmp_path / "logs"
  folder.mkdir()
  (folder / "a.jsonl").write_text(_JSON)
  (folder / "b.jsonl").write_bytes(content)
  report = log_files.prepare(folder, tmp_path / "out")
  assert (report["num_events"], report["rejected"]["rows"]) == (1, 0)


def test_a_parquet_part_without_rows_takes_none_from_the_others(tmp_path):
  folder = tmp_path / "logs"
  folder.mkdir()
  frame = log_files.event_frame([("u", "e", None, 0)])
  frame.write_parquet(folder / "a.parquet")
  frame.clear().write_parquet(folder / "b.parquet")
  assert log_files.prepare(folder, tmp_path / "out")["num_events"] == 1


@pytest.mark.parametrize(
    ("written", "want"),
    [
        ("True", 1.0), ("FALSE", 0.0), (" true ", 1.0), ("1", 1.0),
        ("0.0", 0.0), ("", None), ("NA", None),
    ],
)  # fmt: skip
def test_true_and_false_are_one_and_zero(tmp_path, written, want):
  rows = [f"u,e,,2024-03-04 00:00:0{n},{text}"
          for n, text in enumerate(("true", "false", written))]
  log = log_files.write_csv(
      tmp_path / "log.csv", rows, log_files.HEADER + ",paid"
  )
  dataset = log_files.prepared(log, tmp_path / "out", extras=("paid",))
  found = dataset.source("train")[0]["paid"]
  np.testing.assert_array_equal(found, [1, 0, np.nan if want is None else want])


@pytest.mark.parametrize("written", ["yes", "t", "on", "True?", "2x"])
def test_other_words_than_true_and_false_are_kept_apart(tmp_path, written):
  rows = [f"u,e,,2024-03-04 00:00:0{n},{text}"
          for n, text in enumerate(("true", "false", written))]
  log = log_files.write_csv(
      tmp_path / "log.csv", rows, log_files.HEADER + ",paid"
  )
  dataset = log_files.prepared(
      log, tmp_path / "out", extras=("paid",), max_bad_fraction=0.5
  )
  [(row, reason)] = log_files.reasons(dataset)
  assert row == 4 and "paid" in reason


@pytest.mark.parametrize(
    ("per_user", "options"),
    [
        (1, dict(unit="user")),
        (1, dict(split_time="2024-03-05")),
        (1, dict(user_fraction=0.3, split_time="2024-03-05")),
        (1, dict(valid_fraction=0.3)),
        (4, dict(leave_one_out=True, unit="user")),
        (3, dict(leave_one_out=True, unit="user")),
        (3, dict(valid_time="2024-03-04 12:00", split_time="2024-03-05")),
    ],
)
def test_users_of_few_events_are_split_and_none_is_lost(
    tmp_path, per_user, options
):
  # An hour apart, over two days and a half.
  rows = [
      (f"u{n // per_user}", f"e{n % 4}", f"d{n}", 3_600.0 * n)
      for n in range(60)
  ]
  log_files.event_frame(rows).write_parquet(tmp_path / "log.parquet")
  dataset = log_files.prepared(
      tmp_path / "log.parquet", tmp_path / "out", **options
  )
  found = log_files.events_of(dataset)
  assert sorted(found["design_id"]) == sorted(row[2] for row in rows)
  want = {row[2]: row[0] for row in rows}
  assert all(
      want[design] == user
      for user, design in found.select("user_id", "design_id").iter_rows()
  )
  if options.get("leave_one_out"):
    # The last event of a user is the test, the one before the validation.
    last = found.group_by("user_id").agg(pl.col("split").sort_by("timestamp"))
    assert {tuple(splits)[-2:] for splits in last["split"]} == {
        ("valid", "test")
    }


def _denied(monkeypatch, method, name):
  """Makes a path unreadable; rights alone would not stop root."""
  real = getattr(pathlib.Path, method)

  def act(path, *args, **kwargs):
    if path.name == name:
      raise PermissionError(13, "Permission denied", str(path))
    return real(path, *args, **kwargs)

  monkeypatch.setattr(pathlib.Path, method, act)


@pytest.mark.parametrize(
    ("logs", "method", "denied"),
    [
        ("logs", "iterdir", "logs"),
        ("logs", "iterdir", "inner"),
        ("logs", "iterdir", "store"),
        ("logs/linked", "iterdir", "store"),
        ("log*", "iterdir", "inner"),
        ("logs", "open", "b.csv"),
        ("logs/inner/b.csv", "open", "b.csv"),
    ],
)
def test_what_may_not_be_read_is_an_error_and_never_left_out(
    tmp_path, monkeypatch, logs, method, denied
):
  for name in ("logs/a.csv", "logs/inner/b.csv", "store/c.csv"):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(_TEXT)
  (tmp_path / "logs" / "linked").symlink_to("../store")
  whole = log_files.prepare(tmp_path / logs, tmp_path / "whole")
  assert whole["num_events"] >= 1
  name = "linked" if denied == "store" and logs == "logs" else denied
  name = "linked" if logs == "logs/linked" else name
  _denied(monkeypatch, method, name)
  with pytest.raises((UserError, PermissionError)) as caught:
    log_files.prepare(tmp_path / logs, tmp_path / "out")
  assert name in str(caught.value)
  assert not (tmp_path / "out").exists()
