"""Known formats from a file to a dataset."""

import gzip
import json

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from tests.logs.support import log_files


def write(path, *lines):
  path.write_text("".join(line + "\n" for line in lines))
  return path


def test_a_format_brings_its_zone_and_its_extra_columns(tmp_path):
  log = write(
      tmp_path / "UserBehavior.csv",
      "7,2001,88,pv,1511625600",  # 2017-11-25, 16:00 UTC: midnight in China
      "7,2001,88,buy,1511625599",
      "7,2002,,cart,1511625601",
  )
  dataset = log_files.prepared(log, tmp_path / "out", log_format="taobao")
  assert dataset.meta["timezone"] == "Asia/Shanghai"
  assert list(dataset.extras) == ["category"]
  source = dataset.source("train")
  assert [source[n]["pair"].size for n in range(2)] == [1, 2]
  codes = np.concatenate([source[n]["category"] for n in range(2)])
  assert codes.dtype == np.int32 and codes.tolist() == [1, 1, -1]
  assert dataset.categories("category").rows() == [(0, None, 0), (1, "88", 2)]
  bare = log_files.prepared(
      log,
      tmp_path / "bare",
      log_format="taobao",
      extras=(),
      timezone="UTC",
  )
  assert (bare.extras, len(bare.source("train"))) == ({}, 1)


def test_a_log_without_times_keeps_its_order(tmp_path):
  log = write(tmp_path / "log.txt", "1 17", "2 17", "1 4", "1 17")
  report = log_files.prepare(
      log, tmp_path / "out", log_format="sasrec", unit="user"
  )
  assert report["times"]["ordinal"]
  assert report["start"].startswith("1970-01-01T00:00:01")
  found = log_files.events_of(log_files.open_dataset(tmp_path / "out"))
  mine = found.filter(found["user_id"] == "1")
  assert mine["design_id"].to_list() == ["17", "4", "17"]


@pytest.mark.parametrize("log_format", ["sasrec", "criteo"])
def test_a_log_without_times_has_no_days(tmp_path, log_format):
  log = write(tmp_path / "log.txt", "1 17")
  with pytest.raises(UserError, match="there are no days. Pass --unit user"):
    log_files.prepare(log, tmp_path / "out", log_format=log_format)
  with pytest.raises(UserError, match="have no times. Split by --user_frac"):
    log_files.prepare(
        log,
        tmp_path / "out",
        log_format=log_format,
        unit="user",
        split_time="2020-01-01",
    )


def test_rejected_rows_of_a_format_are_listed(tmp_path):
  lines = ["7,2001,88,pv,1511625600"] * 300
  log = tmp_path / "UserBehavior.csv"
  log.write_text("\n".join([*lines, "7,2001,88,pv,0", "7,20"]))
  dataset = log_files.prepared(log, tmp_path / "out", log_format="taobao")
  assert sorted(log_files.reasons(dataset)) == [
      (301, "time before 1990"),
      (302, "cut-off last row"),
  ]
  assert dataset.meta["sources"][0]["rows"] == 302


def test_both_files_of_aligned_lines_are_sources(tmp_path):
  logs = tmp_path / "logs"
  logs.mkdir()
  items = write(logs / "shop_item.txt", "1 17 4", "2 4")
  write(logs / "shop_time.txt", "1 1318896000 1318982400", "2 1318896000")
  for number, given in enumerate((items, logs)):
    dataset = log_files.prepared(
        given, tmp_path / f"out{number}", log_format="sasrec_time"
    )
    rows = {s["name"]: s["rows"] for s in dataset.meta["sources"]}
    assert rows == {"shop_item.txt": 3, "shop_time.txt": 0}


def test_a_folder_of_sessions_is_one_log(tmp_path):
  logs = tmp_path / "logs" / "neg"
  logs.mkdir(parents=True)
  events = [
      {"log_id": "1", "role_grade": "012", "timestamp": "2019-08-14 20:20:01"},
      {"log_id": "2", "design_id": "5", "timestamp": "2019-08-14 20:20:04"},
  ]
  for user in ("u1", "u2"):
    (logs / f"{user}.a.json").write_text(json.dumps(events, indent=4))
  (logs / "u3.a.json.gz").write_bytes(gzip.compress(b"[]"))
  dataset = log_files.prepared(
      logs.parent, tmp_path / "out", log_format="justice_json", unit="user"
  )
  assert dataset.meta["splits"]["train"]["num_users"] == 2
  np.testing.assert_array_equal(
      dataset.source("train")[0]["level"], [12, np.nan]
  )
  assert [s["rows"] for s in dataset.meta["sources"]] == [2, 2, 0]
