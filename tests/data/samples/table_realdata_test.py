"""Labels of the real logs are what the README of the data says."""

import polars as pl
import pytest

from behavior_lm.data.samples import History
from behavior_lm.data.samples import read_table
from behavior_lm.data.samples import rows_from_log
from behavior_lm.data.samples import SampleColumns
from behavior_lm.data.samples import Samples
from behavior_lm.data.samples import splits
from behavior_lm.data.samples import vocabulary
from tests.logs.support import log_files

pytestmark = pytest.mark.realdata


def history_of(events, tmp_path, **options):
  """Prepares a part of a log."""
  log = tmp_path / "log.parquet"
  events.sink_parquet(log)
  return History(log_files.prepared(log, tmp_path / "out", **options))


@pytest.mark.slow
def test_bots_have_1600_users_with_a_history_each(tmp_path, data_root):
  folder = data_root / "justice"
  history = history_of(
      pl.scan_parquet(folder / "bot_train.parquet"), tmp_path, unit="user"
  )
  columns = SampleColumns(labels={"bot": "binary"})
  table = read_table(folder / "bot_train_labels.csv", columns, history)
  assert len(table) == table.summary["users"] == 1_600
  assert table.quarantined.is_empty()
  assert table.summary["rows_without_history"] == 0
  assert table.summary["labels"]["bot"]["missing"] == 0
  samples = Samples(table, history)
  lengths = [len(sample["pair"]) for sample in samples]
  assert (min(lengths), max(lengths)) == (26, 193)
  assert sum(lengths) == 111_546
  bots = table.frame["label/bot"]
  for fold in splits.folds(table, 5, seed=0, stratify="bot"):
    assert len(fold["test"]) == 320
    assert bots[fold["test"]].sum() == pytest.approx(bots.sum() / 5, abs=1)
  # The start of the session is no time to predict at: nothing is before it.
  columns = SampleColumns(
      labels={"bot": "binary"}, time="session_start", timezone="UTC"
  )
  early = read_table(folder / "bot_train_labels.csv", columns, history)
  assert early.summary["rows_before_first_event"] == 1_600


@pytest.mark.slow
def test_churn_has_195_labelled_users(tmp_path, data_root):
  folder = data_root / "justice"
  history = history_of(
      pl.scan_parquet(folder / "churn_242.parquet").group_by("user_id").head(9),
      tmp_path,
  )
  table = read_table(
      folder / "churn_242_labels.csv",
      SampleColumns(labels={"churned": "binary"}),
      history,
  )
  assert len(table) == table.summary["users"] == 195
  assert table.summary["unknown_users"] == 0
  assert table.summary["labels"]["churned"]["classes"] == 2


@pytest.mark.slow
def test_next_map_has_64448_transfers_to_261_maps(tmp_path, data_root):
  transfer = ["400027", "400028"]
  history = history_of(
      pl.scan_parquet(data_root / "justice" / "map_204.parquet").filter(
          pl.col("event_id").is_in(transfer)
      ),
      tmp_path,
      split_time="2019-12-15",
  )
  table = rows_from_log(history, transfer[:1])
  assert len(table) == 64_448
  assert table.summary["labels"]["next"]["classes"] == 261
  last = splits.leave_one_out(table)
  assert len(last["test"]) == len(last["valid"]) == 100
  known = vocabulary.fit(table, last["train"])
  samples = Samples(
      table,
      history,
      rows=last["test"],
      vocabularies=known,
      max_events=8,
      excluded_events=transfer[1:],
  )
  for sample in samples:
    assert (sample["timestamp"] < sample["sample/time"]).all()
    assert len(sample["pair"]) == 8
