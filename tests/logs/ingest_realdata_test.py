"""The real logs hold what the README of the data says."""

import pytest

from tests.logs.support import log_files

pytestmark = pytest.mark.realdata


def test_bot_train_has_its_rows_and_users(tmp_path, data_root):
  found = log_files.prepare(
      data_root / "justice" / "bot_train.parquet", tmp_path / "out", unit="user"
  )
  assert (found["rows"], found["num_users"]) == (111_546, 1_600)
  assert found["rejected"]["rows"] == 0
  train = found["splits"]["train"]
  assert train["num_sequences"] == 1_600
  assert (train["lengths"]["min"], train["lengths"]["max"]) == (26, 193)


@pytest.mark.slow
def test_map_204_has_its_rows_users_days_and_coverage(tmp_path, data_root):
  found = log_files.prepare(
      data_root / "justice" / "map_204.parquet",
      tmp_path / "out",
      split_time="2019-12-15",
  )
  assert (found["rows"], found["num_users"]) == (4_399_629, 100)
  assert found["rejected"]["rows"] == 0
  train, test = found["splits"]["train"], found["splits"]["test"]
  assert (train["num_sequences"], test["num_sequences"]) == (1_100, 400)
  assert round(found["num_events"] / 1_500) == 2_933
  assert max(train["lengths"]["max"], test["lengths"]["max"]) == 21_853
  covered = {row["pairs"]: row["share"] for row in train["coverage"]}
  assert round(covered[7_000], 3) == 0.997


@pytest.mark.slow
def test_churn_242_has_its_rows_and_users(tmp_path, data_root):
  found = log_files.prepare(
      data_root / "justice" / "churn_242.parquet", tmp_path / "out", unit="user"
  )
  assert (found["rows"], found["num_users"]) == (6_450_480, 195)
  assert found["rejected"]["rows"] == 0
  assert round(found["splits"]["train"]["lengths"]["mean"], -3) == 33_000


@pytest.mark.slow
def test_a_cut_off_row_of_a_real_log_is_rejected_alone(tmp_path, data_root):
  source = data_root / "public" / "taobao" / "UserBehavior_head84475.csv"
  log = tmp_path / "log.csv"
  log.write_bytes(
      b"user_id,design_id,category,event_id,timestamp\n" + source.read_bytes()
  )
  dataset = log_files.prepared(log, tmp_path / "out", timezone="Asia/Shanghai")
  rows = [reason for _, reason in log_files.reasons(dataset)]
  assert rows.count("cut-off last row") == 1
  assert dataset.meta["quarantined_rows"] < 100
  assert dataset.meta["sources"][0]["rows"] == 84_475 + 1
