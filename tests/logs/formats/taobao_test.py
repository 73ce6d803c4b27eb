import gzip

import pytest

from tests.logs.formats import reading

_LINES = [
    "7,2001,88,pv,1511658000",
    "7,2001,88,buy,1511658300",
    "9,2002,89,cart,1511658000",
]


def test_behaviours_are_events_and_items_are_designs(tmp_path):
  log = reading.write(tmp_path / "UserBehavior.csv", *_LINES)
  assert reading.events(log, "taobao", tmp_path) == [
      ("7", "pv", "2001", "2017-11-26T01:00:00Z", "88"),
      ("7", "buy", "2001", "2017-11-26T01:05:00Z", "88"),
      ("9", "cart", "2002", "2017-11-26T01:00:00Z", "89"),
  ]


def test_gz_is_read_from_a_folder_without_the_files_beside_it(tmp_path):
  (tmp_path / "logs").mkdir()
  data = gzip.compress("\n".join(_LINES).encode())
  (tmp_path / "logs" / "UserBehavior.csv.gz").write_bytes(data)
  reading.write(tmp_path / "logs" / "items.csv", "item_id,name")
  found = reading.events(tmp_path / "logs", "taobao", tmp_path, extras=())
  assert [row[:3] for row in found] == [
      ("7", "pv", "2001"), ("7", "buy", "2001"), ("9", "cart", "2002")
  ]  # fmt: skip


def test_a_cut_off_row_and_impossible_times_are_rejected_alone(tmp_path):
  lines = [*_LINES, "7,2001,88,pv,-5", "7,2001,88,pv,30,", "", "7,2001,88"]
  log = tmp_path / "UserBehavior.csv"
  log.write_text("\n".join(lines))
  found, bad = reading.read(log, "taobao", tmp_path)
  assert found.height == 3
  assert bad == [
      (5, "wrong number of fields"),
      (7, "cut-off last row"),
      (4, "negative time"),
  ]


@pytest.mark.realdata
def test_the_real_files_hold_what_is_known_of_them(tmp_path, data_root):
  folder = data_root / "public" / "taobao"
  found, bad = reading.read(folder, "taobao", tmp_path)
  assert (found.height, found["user_id"].n_unique()) == (94_475, 929)
  assert bad == [(84_476, "cut-off last row")]
  # Of these, 39 lie before the nine days of the data set, which leaves the
  # 94,436 events that are published.
  begin, end = 1_511_539_200_000_000, 1_512_316_800_000_000
  inside = found["timestamp"].is_between(begin, end, closed="left")
  assert inside.sum() == 94_436
  assert set(found["event_id"]) == {"pv", "fav", "cart", "buy"}
