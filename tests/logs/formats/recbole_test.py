import pytest

from behavior_lm.common.errors import UserError
from tests.logs.formats import reading

_HEAD = "user_id:token\titem_id:token\trating:float\ttimestamp:float"


def test_items_are_designs_of_one_event(tmp_path):
  log = reading.write(
      tmp_path / "a.inter", _HEAD, "5\t88\t4\t881250949", "5\t89\t\t881250950.5"
  )
  assert reading.events(log, "recbole", tmp_path) == [
      ("5", "interaction", "88", "1997-12-04T15:55:49Z"),
      ("5", "interaction", "89", "1997-12-04T15:55:50.500000Z"),
  ]
  rated = reading.events(log, "recbole", tmp_path, extras=("rating",))
  assert [row[-1] for row in rated] == [4.0, None]


def test_fields_are_mapped_without_their_types(tmp_path):
  log = reading.write(
      tmp_path / "a.inter",
      "who:token\twhat:token\tdid:token\twhen:float",
      "5\t88\tclick\t881250949",
  )
  columns = {"user_id": "who", "design_id": "what", "timestamp": "when"}
  assert reading.events(log, "recbole", tmp_path, columns=columns) == [
      ("5", "interaction", "88", "1997-12-04T15:55:49Z")
  ]
  columns["event_id"] = "did"
  [found] = reading.events(log, "recbole", tmp_path, columns=columns)
  assert found[1:3] == ("click", "88")


def test_a_row_without_an_item_is_rejected(tmp_path):
  log = reading.write(tmp_path / "a.inter", _HEAD, "5\t \t4\t881250949")
  found, bad = reading.read(log, "recbole", tmp_path)
  assert (found.height, bad) == (0, [(2, "no event")])


def test_a_field_that_is_missing_is_named(tmp_path):
  log = reading.write(tmp_path / "a.inter", "user_id:token\titem_id:token")
  with pytest.raises(UserError, match="no column 'timestamp'"):
    reading.read(log, "recbole", tmp_path)


@pytest.mark.realdata
def test_movielens_100k_is_read_whole_and_its_tables_are_no_logs(
    tmp_path, data_root
):
  folder = data_root / "public" / "ml100k"
  assert reading.counts(folder, "recbole", tmp_path) == (
      100_000, 943, 1_682, [],
  )  # fmt: skip
