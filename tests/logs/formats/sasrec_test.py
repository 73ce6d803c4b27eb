import pytest

from behavior_lm.common.errors import UserError
from tests.logs.formats import reading


def test_the_line_stands_for_the_time(tmp_path):
  log = reading.write(tmp_path / "a.txt", "1 17", "1\t4", "", " 2  17 \r")
  assert reading.events(log, "sasrec", tmp_path) == [
      ("1", "interaction", "17", "1970-01-01T00:00:01Z"),
      ("1", "interaction", "4", "1970-01-01T00:00:02Z"),
      ("2", "interaction", "17", "1970-01-01T00:00:04Z"),
  ]


def test_other_lines_are_rejected_alone(tmp_path):
  log = tmp_path / "a.txt"
  log.write_text("1 17\n1 2 3\nx\n1 18\n4")
  found, bad = reading.read(log, "sasrec", tmp_path)
  assert found["design_id"].to_list() == ["17", "18"]
  assert bad == [
      (2, "wrong number of fields"),
      (3, "wrong number of fields"),
      (5, "cut-off last row"),
  ]


def test_there_are_no_columns_to_map(tmp_path):
  log = reading.write(tmp_path / "a.txt", "1 17")
  with pytest.raises(UserError, match="--format sasrec has none beside"):
    reading.read(log, "sasrec", tmp_path, extras=("level",))


@pytest.mark.slow
@pytest.mark.realdata
def test_movielens_1m_is_read_whole(tmp_path, data_root):
  log = data_root / "public" / "ml1m" / "ml-1m.txt"
  assert reading.counts(log, "sasrec", tmp_path) == (
      999_611, 6_040, 3_416, [],
  )  # fmt: skip
