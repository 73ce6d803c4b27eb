import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs.formats import sasrec_time
from behavior_lm.logs.readers import sources
from tests.logs.formats import reading


def write(folder, items, times):
  (folder / "shop_item_rank.txt").write_text(items)
  (folder / "shop_time_rank.txt").write_text(times)
  return folder / "shop_item_rank.txt"


def test_items_and_times_are_joined_line_by_line(tmp_path):
  log = write(
      tmp_path,
      "1 17 4 9\n2 4\n",
      "1 1318896000 1318896000 1328140800\n2 1318896000\n",
  )
  want = [
      ("1", "interaction", "17", "2011-10-18T00:00:00Z"),
      ("1", "interaction", "4", "2011-10-18T00:00:00Z"),
      ("1", "interaction", "9", "2012-02-02T00:00:00Z"),
      ("2", "interaction", "4", "2011-10-18T00:00:00Z"),
  ]
  assert reading.events(log, "sasrec_time", tmp_path) == want
  assert reading.events(tmp_path, "sasrec_time", tmp_path) == want


def test_both_files_are_sources_whichever_is_given(tmp_path):
  log = write(tmp_path, "1 17\n", "1 1318896000\n")
  for given in (log, tmp_path, tmp_path / "shop_time_rank.txt"):
    found = sources.find_sources(str(given), "sasrec_time").files
    assert {source.name for source in found} == {
        "shop_item_rank.txt",
        "shop_time_rank.txt",
    }


def test_lines_that_do_not_belong_together_are_rejected(tmp_path):
  log = write(
      tmp_path,
      "1 17 4\n2 4\n\n4 5\n5 6\n6 7 8",
      "1 1318896000\n9 1318896000\n3 1318896000\n4 1318896000\n\n6 131889",
  )
  found, bad = reading.read(log, "sasrec_time", tmp_path)
  assert found["user_id"].to_list() == ["4"]
  other = sasrec_time.NOT_ALIGNED
  assert bad == [
      (1, other), (2, other), (3, other), (5, other), (6, "cut-off last row")
  ]  # fmt: skip


def test_a_missing_partner_is_named(tmp_path):
  log = reading.write(tmp_path / "shop_item.txt", "1 17")
  with pytest.raises(UserError, match="shop_time.txt is missing beside it"):
    reading.read(log, "sasrec_time", tmp_path)
  log = reading.write(tmp_path / "shop.txt", "1 17")
  with pytest.raises(UserError, match="neither `item` nor `time`"):
    reading.read(log, "sasrec_time", tmp_path)


@pytest.mark.realdata
def test_amazon_beauty_is_read_whole_in_the_order_of_the_file(
    tmp_path, data_root
):
  folder = data_root / "public" / "beauty"
  found, bad = reading.read(folder, "sasrec_time", tmp_path)
  designs = found["design_id"].n_unique()
  users = found["user_id"].n_unique()
  assert (found.height, users, designs, bad) == (198_502, 22_363, 12_101, [])
  # Published of this file: for 43 % of the users the last two times tie.
  last = found.group_by("user_id", maintain_order=True).agg(
      (pl.col("timestamp").get(-1) == pl.col("timestamp").get(-2)).alias("tie")
  )
  assert round(last["tie"].mean(), 2) == 0.43
