import pytest

from tests.logs.formats import reading

_HEAD = "user_id,item_id,behavior_type,user_geohash,item_category,time"


def test_codes_get_names_and_hours_are_those_of_china(tmp_path):
  log = reading.write(
      tmp_path / "user.csv",
      _HEAD,
      "11,501,1,,77,2014-12-06 02",
      "11,501,2,,77,2014-12-06 02",
      "11,501,3,,,2014-12-06 03",
      "11,501,4,94ek6ke,77,2014-12-06 23",
      "11,501,9,94ek6ke,77,2014-12-06 23:30:00",
  )
  assert reading.events(log, "tianchi", tmp_path) == [
      ("11", "click", "501", "2014-12-05T18:00:00Z", "77"),
      ("11", "fav", "501", "2014-12-05T18:00:00Z", "77"),
      ("11", "cart", "501", "2014-12-05T19:00:00Z", None),
      ("11", "buy", "501", "2014-12-06T15:00:00Z", "77"),
      ("11", "9", "501", "2014-12-06T15:30:00Z", "77"),
  ]


def test_the_item_table_in_the_same_folder_is_no_log(tmp_path):
  folder = tmp_path / "logs"
  reading.write(folder / "train_user.csv", _HEAD, "1,2,1,,3,2014-12-06 02")
  reading.write(folder / "train_item.csv", "item_id,geohash,category", "2,,3")
  assert len(reading.events(folder, "tianchi", tmp_path)) == 1


def test_the_geohash_is_a_category_by_request_and_no_number(tmp_path):
  log = reading.write(
      tmp_path / "user.csv", _HEAD, "11,501,1,94ek6ke,77,2014-12-06 02"
  )
  [row] = reading.events(log, "tianchi", tmp_path, extras=("user_geohash",))
  assert row[-1] == "94ek6ke"
  found, bad = reading.read(
      log,
      "tianchi",
      tmp_path,
      extras=("geohash",),
      columns={"geohash": "user_geohash"},
  )
  assert (found.height, bad) == (
      0,
      [(2, "extra column geohash is not a number")],
  )


@pytest.mark.realdata
def test_the_real_file_is_read_whole(tmp_path, data_root):
  found, bad = reading.read(
      data_root / "public" / "tianchi", "tianchi", tmp_path
  )
  assert (found.height, bad) == (1_999, [])
  assert set(found["event_id"]) <= {"click", "fav", "cart", "buy"}
