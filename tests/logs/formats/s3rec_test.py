import pytest

from behavior_lm.common.errors import UserError
from tests.logs.formats import reading


def test_items_of_a_line_follow_each_other(tmp_path):
  log = tmp_path / "a.txt"
  log.write_text("1 17 4\n\n2\t17 \r\n1 9\n")
  assert reading.events(log, "s3rec", tmp_path) == [
      ("1", "interaction", "17", "1970-01-01T00:00:01Z"),
      ("1", "interaction", "4", "1970-01-01T00:00:02Z"),
      ("2", "interaction", "17", "1970-01-01T00:00:03Z"),
      ("1", "interaction", "9", "1970-01-01T00:00:04Z"),
  ]


def test_a_user_without_items_is_rejected_alone(tmp_path):
  log = tmp_path / "a.txt"
  log.write_text("1 17\nx\n1 18 19\n4")
  found, bad = reading.read(log, "s3rec", tmp_path)
  assert found["design_id"].to_list() == ["17", "18", "19"]
  assert bad == [(2, "wrong number of fields"), (4, "cut-off last row")]


def test_there_are_no_columns_to_map(tmp_path):
  log = reading.write(tmp_path / "a.txt", "1 17")
  with pytest.raises(UserError, match="--format s3rec has none beside"):
    reading.read(log, "s3rec", tmp_path, extras=("level",))


@pytest.mark.realdata
def test_beauty_is_read_whole(tmp_path, data_root):
  log = data_root / "public" / "beauty_s3" / "Beauty.txt"
  assert reading.counts(log, "s3rec", tmp_path) == (
      198_502, 22_363, 12_101, [],
  )  # fmt: skip
