import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from tests.logs.formats import reading


def write(path, **columns):
  data = {
      "uid": [4, 4],
      "iid": [96, 97],
      "label": [1, 0],
      "timestamp": [1040544350, 1040544351],
      "not_cold": [1, 0],
      "his": [[0, 38], [0, 38, 96]],
  }
  pl.DataFrame(data | columns).write_parquet(path)
  return path


def test_labels_are_the_events_and_histories_are_not_read_again(tmp_path):
  log = write(tmp_path / "train.parquet")
  assert reading.events(log, "collm", tmp_path, extras=("not_cold",)) == [
      ("4", "like", "96", "2002-12-22T08:05:50Z", 1.0),
      ("4", "dislike", "97", "2002-12-22T08:05:51Z", 0.0),
  ]


def test_a_folder_gives_the_three_splits(tmp_path):
  for name in ("train", "valid", "test", "valid_small"):
    write(tmp_path / f"{name}.parquet", uid=[name, name])
  found = reading.events(tmp_path, "collm", tmp_path)
  assert {row[0] for row in found} == {"train", "valid", "test"}


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
  log = reading.write(tmp_path / "train.parquet", "uid,iid")
  with pytest.raises(UserError, match="not a Parquet file"):
    reading.read(log, "collm", tmp_path)


@pytest.mark.realdata
def test_the_real_files_are_read_whole(tmp_path, data_root):
  folder = data_root / "public" / "ml1m_ctr"
  rows = {"train": 33_891, "valid": 10_401, "test": 7_331}
  for name, want in rows.items():
    log = folder / f"{name}.parquet"
    assert reading.counts(log, "collm", tmp_path)[0] == want
  found, bad = reading.read(folder, "collm", tmp_path)
  assert (found.height, bad) == (sum(rows.values()), [])
  # What the format says of histories: nothing but liked rows.
  liked = found.filter(pl.col("event_id") == "like")
  liked = set(liked.select("user_id", "design_id").iter_rows())
  past = set()
  for name in rows:
    table = pl.read_parquet(folder / f"{name}.parquet", columns=["uid", "his"])
    table = table.explode("his").filter(pl.col("his") != 0).unique()
    past |= set(table.cast(pl.String).iter_rows())
  assert len(past) == 27_209
  assert past <= liked
