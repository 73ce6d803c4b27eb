"""A log of Taobao becomes tables of requests, once."""

import datetime

import polars as pl

from behavior_lm.recipes.shared.request_data import make_data
from experiments.studies.ranking import ranking_study as study
from experiments.studies.ranking.taobao import make_tables


def test_a_log_becomes_tables_that_a_ranker_reads(tmp_path):
  first = datetime.datetime(2017, 12, 1, tzinfo=datetime.UTC).timestamp()
  lines = [
      f"{user},{10 * user + n},{n % 3},{('pv', 'cart', 'buy')[n % 3]},"
      f"{int(first) + 7 * 3_600 * n + user}"
      for user in range(1, 5)
      for n in range(9)
  ]
  log = tmp_path / "UserBehavior.csv"
  log.write_text("\n".join(lines) + "\n")
  tables, data = make_tables(str(log), tmp_path / "work")
  rows = {
      name: pl.read_parquet(tables / f"{name}.parquet")
      for name in ("train", "valid", "test")
  }
  assert all(table.height for table in rows.values())
  # Days are those of China, 8 hours ahead.
  start = datetime.datetime(2017, 12, 1, 16, tzinfo=datetime.UTC)
  assert rows["train"]["time"].max() < start <= rows["valid"]["time"].min()
  done = pl.concat(rows.values()).filter(pl.col("buy") == 1)
  assert sorted(done["item"], key=int) == [
      str(10 * user + n) for user in range(1, 5) for n in (2, 5, 8)
  ]
  assert set(done["category"]) == {"2"}

  changes = {"data.actions": str(data), "data.num_actions": 4}
  config = study.variant_config(
      "taobao", str(tables), study.VARIANTS[3], 0, changes
  )
  found = make_data(config)
  assert len(found.actions) == 36
  batch = found.sides["test"].batch(range(len(rows["test"])))
  assert batch["labels"].shape[1] == 4 and (batch["action_types"] > 0).any()
  made = (tables / "test.parquet").stat().st_mtime_ns
  make_tables(str(log), tmp_path / "work")
  assert (tables / "test.parquet").stat().st_mtime_ns == made
