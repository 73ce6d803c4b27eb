"""Label tables: what is read, what is set aside, and what is counted."""

import json

from hypothesis import given
from hypothesis import strategies as st
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import History
from behavior_lm.data.samples import read_table
from behavior_lm.data.samples import SampleColumns
from behavior_lm.data.samples import to_markdown
from behavior_lm.data.samples.table import CONTRADICTION
from tests.data.samples.fake_log import at
from tests.data.samples.fake_log import declare
from tests.data.samples.fake_log import FakeLog
from tests.data.samples.fake_log import label_frame
from tests.data.samples.fake_log import stamps

LOG = FakeLog([(user, s, 1) for user in ("a", "b", "007") for s in (5, 25)])
HEADER = "user_id,when,bot\n"


def read(source, columns=None, **options):
  values = dict(max_bad_fraction=1.0) | options
  return read_table(source, columns or declare(), History(LOG), **values)


def write(tmp_path, text, name="labels.csv"):
  path = tmp_path / name
  path.write_text(text)
  return path


def rows_of(table):
  return table.frame["sample/row"].to_list()


def reasons(table):
  return dict(
      zip(table.quarantined["row"], table.quarantined["reason"], strict=True)
  )


def test_csv_tsv_parquet_and_frames_read_alike(tmp_path):
  time = at(9) // 1_000_000
  csv = write(tmp_path, f"user_id,when,bot\n007,{time},1\na,{time},0\n")
  tsv = write(tmp_path, csv.read_text().replace(",", "\t"), "labels.tsv")
  frame = pl.DataFrame({
      "user_id": ["007", "a"], "when": stamps([9, 9]), "bot": [True, False]
  })  # fmt: skip
  frame.write_parquet(tmp_path / "labels.parquet")
  want = read(frame).frame
  assert want["user_id"].to_list() == ["007", "a"]
  assert want["label/bot"].to_list() == [1, 0]
  assert want["sample/time"].to_physical().to_list() == [at(9)] * 2
  for source in (csv, tsv, str(tmp_path / "labels.parquet")):
    assert read(source).frame.equals(want)


def test_integer_user_ids_match_text_ids():
  history = History(FakeLog([("7", 1, 1)]))
  frame = pl.DataFrame({"user_id": [7], "bot": [1]})
  table = read_table(frame, declare(time=""), history)
  assert table.summary["unknown_users"] == 0


def test_each_unreadable_row_is_quarantined_with_its_reason(tmp_path):
  time = at(9) // 1_000_000
  path = write(
      tmp_path,
      "user_id,when,bot,spend,item,price,share\n"
      f"a,{time},1,2.5,i,1,1\n"
      f",{time},1,2.5,i,1,1\n"
      "a,,1,2.5,i,1,1\n"
      "a,soon,1,2.5,i,1,1\n"
      f"a,{time},maybe,2.5,i,1,1\n"
      f"a,{time},1,much,i,1,1\n"
      f"a,{time},1,inf,i,1,1\n"
      f"a,{time},1,2.5, ,1,1\n"
      f"a,{time},1,2.5,i,cheap,1\n"
      f"a,{time},1,2.5,i,1,\n"
      f"a,{time},1,2.5,i,1,-1\n",
  )
  columns = declare(
      labels={"bot": "binary", "spend": "regression"},
      candidates=["item"],
      dense=["price"],
      weight="share",
  )
  table = read(path, columns, quarantine=tmp_path / "bad.jsonl")
  assert rows_of(table) == [1]
  found = reasons(table)
  assert list(found) == list(range(2, 12))
  assert (found[2], found[3], found[4]) == (
      "no user", "no time", "unreadable time",
  )  # fmt: skip
  for row, word in (
      (5, "bot"), (6, "spend"), (7, "spend"), (8, "item"), (9, "price"),
      (10, "weight"), (11, "weight"),
  ):  # fmt: skip
    assert word in found[row]
  assert sum(table.summary["quarantined"].values()) == 10
  written = [
      json.loads(line) for line in (tmp_path / "bad.jsonl").open()
  ]
  assert [(line["row"], line["reason"]) for line in written] == list(
      found.items()
  )
  assert json.loads(written[3]["text"])["bot"] == "maybe"


def test_too_many_unreadable_rows_are_an_error(tmp_path):
  frame = label_frame([("a", 9)] * 10).with_columns(
      bot=pl.Series([7, *[1] * 9])
  )
  with pytest.raises(UserError, match="row 1"):
    read(frame, max_bad_fraction=0.05)
  assert read(frame, max_bad_fraction=0.1).summary["samples"] == 1


def test_missing_labels_are_kept_and_counted():
  frame = label_frame([("a", 9), ("b", 9)]).with_columns(
      bot=pl.Series([None, 1])
  )
  table = read(frame)
  assert table.frame["label/bot"].to_list() == [None, 1]
  assert table.summary["labels"]["bot"]["missing"] == 1


def test_equal_rows_are_merged_and_an_empty_label_agrees():
  columns = declare(labels={"bot": "binary", "tags": "multi_label"})
  frame = label_frame([("a", 9)] * 4).with_columns(
      bot=pl.Series([None, 1, 1, None]),
      tags=pl.Series([None, "y|x", "x| y|x", "x|y"]),
  )
  table = read(frame, columns)
  assert table.frame["label/bot"].to_list() == [1]
  assert table.frame["label/tags"].to_list() == [["x", "y"]]
  assert table.summary["duplicate_rows"] == 3
  assert rows_of(table) == [1]


def test_contradicting_rows_are_all_quarantined():
  columns = declare(candidates=["item"])
  frame = label_frame([("a", 9)] * 3 + [("a", 10), ("b", 9)]).with_columns(
      bot=pl.Series([0, 1, 1, 1, 1]), item=pl.Series(["i", "i", "j", "i", "i"])
  )
  table = read(frame, columns)
  assert rows_of(table) == [3, 4, 5]
  assert reasons(table) == {1: CONTRADICTION, 2: CONTRADICTION}
  assert table.summary["contradicting_rows"] == 2


def test_rows_that_differ_in_features_alone_are_kept():
  frame = label_frame([("a", 9)] * 3, place=[1.0, 2.0, 2.0]).with_columns(
      bot=pl.lit(1)
  )
  table = read(frame, declare(dense=["place"]))
  assert table.frame["dense/place"].to_list() == [1, 2]
  assert table.summary["duplicate_rows"] == 1
  assert table.summary["rows_with_other_features"] == 1


def test_rows_without_a_history_are_counted_and_kept_or_dropped():
  frame = label_frame(
      [("x", 9), ("x", 10), ("a", 5), ("a", 6), ("b", 4), ("y", 1)]
  )
  kept = read(frame)
  assert {
      name: kept.summary[name]
      for name in (
          "samples", "users", "unknown_users", "unknown_user_rows",
          "rows_before_first_event", "users_without_history",
          "rows_without_history", "dropped_without_history",
          "users_without_rows",
      )
  } == {
      "samples": 6, "users": 4, "unknown_users": 2, "unknown_user_rows": 3,
      "rows_before_first_event": 2, "users_without_history": 3,
      "rows_without_history": 5, "dropped_without_history": 0,
      "users_without_rows": 1,
  }  # fmt: skip
  dropped = read(frame, empty_history="drop")
  assert rows_of(dropped) == [4]
  assert dropped.summary["dropped_without_history"] == 5
  assert dropped.summary["samples"] == 1


@pytest.mark.slow
@given(st.permutations(range(8)))
def test_the_table_does_not_depend_on_the_order_of_the_rows(order):
  frame = pl.DataFrame({
      "user_id": list("aaabbbab"),
      "when": stamps([9, 9, 9, 7, 8, 8, None, None]),
      "bot": [1, 1, None, 0, 1, 0, 1, 1],
      "place": [1, 2, 1, 1, 1, 1, 1, None],
  })
  columns = declare(dense=["place"])
  want, got = read(frame), read(frame[list(order)])
  assert got.frame.drop("sample/row").equals(want.frame.drop("sample/row"))
  assert got.summary == want.summary
  want, got = read(frame, columns), read(frame[list(order)], columns)
  assert got.frame.drop("sample/row").equals(want.frame.drop("sample/row"))


def test_a_naive_time_needs_a_declared_zone(tmp_path):
  path = write(tmp_path, HEADER + "a,2024-03-04 10:00:00,1\n")
  with pytest.raises(UserError, match="Set timezone"):
    read(path)
  table = read(path, declare(timezone="Asia/Shanghai"))
  assert table.frame["sample/time"][0].isoformat() == (
      "2024-03-04T02:00:00+00:00"
  )
  naive = pl.DataFrame({"user_id": ["a"], "bot": [1]}).with_columns(
      when=pl.datetime(2024, 3, 4)
  )
  with pytest.raises(UserError, match="Set timezone"):
    read(naive)
  mixed = write(
      tmp_path, HEADER + "a,2024-03-04T10:00:00Z,1\nb,2024-03-04,1\n"
  )
  with pytest.raises(UserError, match="Set timezone"):
    read(mixed)


@pytest.mark.parametrize(
    ("frame", "columns", "words"),
    [
        (label_frame([("x", 9)]), declare(), "none of its 1 users"),
        (label_frame([("a", 9)]), declare(time="at"), "no column 'at'"),
        (label_frame([]), declare(), "no rows"),
        (
            label_frame([("a", 9)] * 2),
            declare(),
            "no row of 2 is left",
        ),
        (
            label_frame([("a", 9)], city=[["Rome"]]),
            declare(categorical=["city"]),
            "lists",
        ),
    ],
)
def test_a_table_that_cannot_serve_is_refused(frame, columns, words):
  with pytest.raises(UserError, match=words):
    read(frame, columns)


def test_a_file_that_is_not_there_or_empty_is_refused(tmp_path):
  with pytest.raises(UserError, match="no such file"):
    read(tmp_path / "labels.csv")
  with pytest.raises(UserError, match="empty"):
    read(write(tmp_path, ""))
  with pytest.raises(UserError, match="not readable"):
    read(write(tmp_path, "no parquet", "labels.parquet"))


def test_dropping_all_rows_is_refused():
  with pytest.raises(UserError, match="no row has an event before it"):
    read(label_frame([("a", 5)]), empty_history="drop")


def test_a_table_without_labels_is_read_for_prediction():
  table = read(label_frame([("a", 9), ("b", 9)]), SampleColumns(labels={}))
  assert len(table) == 2


def test_the_summary_is_json_and_reads_as_tables():
  columns = declare(
      labels={"bot": "binary", "tags": "multi_label", "spend": "regression"}
  )
  frame = label_frame(
      [("a", 9), ("b", 9), ("b", 9), ("x", 9)],
      tags=["u|v", "v", "v", None],
      spend=[1.0, 3.0, 3.0, None],
  ).with_columns(bot=pl.Series([1, 0, 1, 5]))
  table = read(frame, columns)
  summary = json.loads(json.dumps(table.summary))
  assert summary == table.summary
  assert summary["labels"]["tags"]["most_frequent"] == {"u": 1, "v": 1}
  text = to_markdown(summary)
  for name in ("bot", "tags", "spend", CONTRADICTION):
    assert name in text
