"""Label tables, good and bad."""

import decimal

import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.downstream.labels import check_label_leaks
from behavior_lm.downstream.labels import read_labels

USERS = ["007", "a", "b", "c"]


def csv(tmp_path, text, name="labels.csv"):
  path = tmp_path / name
  path.write_text(text)
  return path


def test_labels_of_known_users_are_read(tmp_path):
  path = csv(
      tmp_path,
      "user_id,bot,churn,level\n007,1,0,3\nb,0,,4\na, TRUE ,1.0,5\nx,1,1,6\n",
  )
  got = read_labels(path, USERS)
  assert got.names == ["bot", "churn"]
  assert got.table.rows() == [("007", 1, 0), ("a", 1, 1), ("b", 0, None)]
  assert got.table.schema == {
      "user_id": pl.String, "bot": pl.Int8, "churn": pl.Int8,
  }  # fmt: skip
  assert got.missing == {"bot": [], "churn": ["b"]}
  assert got.unlabelled == ["c"]
  assert got.unknown == ["x"]
  assert "'3', '4', '5', ..." in got.ignored_columns["level"]
  notes = "\n".join(got.notes())
  assert "column 'level' is no label" in notes
  assert "1 users with an empty cell for the label 'churn' ('b')" in notes
  assert "1 users of the data without a label, left out ('c')" in notes
  assert "1 users with a label but not in the data, left out ('x')" in notes


def test_parquet_of_any_types_reads_like_csv(tmp_path):
  frame = pl.DataFrame({
      "user_id": [7, 8, 9],
      "bot": [True, False, None],
      "churn": [1.0, 0.0, 1.0],
  })
  frame.write_parquet(tmp_path / "labels.parquet")
  got = read_labels(tmp_path / "labels.parquet", ["7", "8", "9"])
  assert got.table.rows() == [("7", 1, 1), ("8", 0, 0), ("9", None, 1)]


@pytest.mark.parametrize("marker", ["NA", "null", "NaN", "\\N", " "])
def test_markers_of_absence_are_no_labels(tmp_path, marker):
  path = csv(tmp_path, f"user_id; bot\na;1\nb;{marker}\nb;\nc;0\n")
  got = read_labels(path, USERS)
  assert got.table.rows() == [("a", 1), ("b", None), ("c", 0)]
  assert got.missing == {"bot": ["b"]}


def test_ids_and_labels_of_parquet_have_the_texts_of_a_log(tmp_path):
  frame = pl.DataFrame({
      "user_id": [7.0, 8.5, -0.0],
      "bot": [decimal.Decimal("1.00"), decimal.Decimal("0.00"), None],
      "history": [[1], [2], None],
  })
  frame.write_parquet(tmp_path / "labels.parquet")
  got = read_labels(tmp_path / "labels.parquet", ["7", "8.5", "0"])
  assert got.table.rows() == [("0", None), ("7", 1), ("8.5", 0)]
  assert list(got.ignored_columns) == ["history"]


def test_equal_duplicates_are_merged_and_told(tmp_path):
  path = csv(tmp_path, "user_id,bot,note\na,1,x\na,1,y\nb,0,z\n")
  got = read_labels(path, USERS)
  assert got.duplicates == ["a"]
  assert got.table.rows() == [("a", 1), ("b", 0)]


def test_an_empty_cell_agrees_with_every_label(tmp_path):
  path = csv(
      tmp_path, "user_id,bot,churn\na,,1\na,1,\na,1,1\nb,,0\nb,,\nc,0,0\n"
  )
  got = read_labels(path, USERS)
  assert got.table.rows() == [("a", 1, 1), ("b", None, 0), ("c", 0, 0)]
  assert got.duplicates == ["a", "b"]
  assert got.missing == {"bot": ["b"], "churn": []}


def test_contradictions_are_refused_or_left_out_and_told(tmp_path):
  path = csv(
      tmp_path, "user_id,bot,churn\na,1,0\nb,0,1\nc,0,0\nb,0,0\nx,1,1\nx,0,1\n"
  )
  with pytest.raises(UserError, match="2 users have contradicting labels"):
    read_labels(path, USERS)
  got = read_labels(path, USERS, drop_contradictions=True)
  assert got.table.rows() == [("a", 1, 0), ("c", 0, 0)]
  assert got.contradictions == ["b", "x"]
  # They are in the file: neither unlabelled nor forgotten.
  assert (got.unlabelled, got.unknown) == (["007"], ["x"])
  assert "2 users with contradicting labels, left out ('b', 'x')" in got.notes()
  # A label that was not asked for contradicts nothing.
  assert read_labels(path, ["b"], ["bot"], drop_contradictions=True).table.rows(
  ) == [("b", 0)]


def test_every_user_is_counted_somewhere(tmp_path):
  path = csv(
      tmp_path, "user_id,bot\na,1\na,1\nb,\nc,0\nc,1\nx,0\nlevel,1\n"
  )
  got = read_labels(path, USERS, drop_contradictions=True)
  assert got.counts() == {
      "users": 2,
      "labels": {"bot": {"positive": 1, "negative": 0, "missing": 1}},
      "duplicates": 1,
      "contradictions": 1,
      "unlabelled": 1,
      "unknown": 2,
      "ignored_columns": {},
  }


class FakeDataset:
  path = "data"

  def __init__(self, **users):
    self.users = users
    self.splits = list(users)

  def sequences(self, split):
    return pl.DataFrame({"user_id": self.users[split]})


def test_labels_of_users_on_both_sides_are_found():
  dataset = FakeDataset(
      train=["a", "a", "b"], test=["a"], heldout_users=["c"],
      heldout_users_test=["c", "d"],
  )  # fmt: skip
  table = lambda *users: pl.DataFrame({"user_id": list(users)})
  check_label_leaks(
      {
          "train": table("a", "b", "x"),
          "test": table("a"),
          "heldout_users": table("c"),
          "heldout_users_test": table("c", "d", "y"),
      },
      dataset,
  )
  with pytest.raises(UserError, match="1 users .'x'. have labels in train and"):
    check_label_leaks(
        {"train": table("a", "x"), "heldout_users": table("c", "x")}, dataset
    )
  with pytest.raises(UserError, match=r"1 users \('d'\) have labels for train"):
    check_label_leaks({"train": table("a", "d")}, dataset)
  with pytest.raises(UserError, match="have labels in train and in valid_use"):
    check_label_leaks(
        {"train": table("a"), "valid_users": table("a")}, dataset
    )
  with pytest.raises(UserError, match=r"\('b'\) have labels for heldout_users"):
    check_label_leaks({"heldout_users": table("c", "b")}, dataset)
  with pytest.raises(UserError, match="labels of 'dev': no such split"):
    check_label_leaks({"dev": table("a")}, dataset)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "label", "users", "positive"),
    [("bot_train", "bot", 1_600, 800), ("churn_242", "churned", 195, 100)],
)
def test_the_labels_of_the_real_logs_fit_their_users(
    data_root, name, label, users, positive
):
  folder = data_root / "justice"
  log = pl.scan_parquet(folder / f"{name}.parquet")
  known = log.select(pl.col("user_id").unique()).collect()["user_id"].to_list()
  found = read_labels(folder / f"{name}_labels.csv", known)
  counts = found.counts()
  assert counts["users"] == users
  assert counts["labels"][label]["positive"] == positive
  for kind in ("duplicates", "contradictions", "unlabelled", "unknown"):
    assert counts[kind] == 0


def test_only_wanted_labels_are_taken(tmp_path):
  path = csv(tmp_path, "user_id,bot,churn\na,1,0\nb,0,1\n")
  assert read_labels(path, USERS, ["churn"]).names == ["churn"]


def test_everything_fine_gives_no_notes(tmp_path):
  path = csv(tmp_path, "user_id,bot\na,1\nb,0\n")
  assert read_labels(path, ["a", "b"]).notes() == []


@pytest.mark.parametrize(
    "text, names, message",
    [
        ("", [], "the file is empty"),
        ("player,bot\na,1\n", [], "no column 'user_id' among"),
        ("user_id,bot\na,1\na,0\n", [], "1 users have contradicting labels"),
        ("user_id,bot\na,1\n,0\n", [], "row 2 has no user_id"),
        ("user_id,level\na,17\n", [], "no column of 0 and 1.*'17'"),
        ("user_id\na\n", [], "no other column"),
        ("user_id,bot\na,\n", [], "bot: it is empty"),
        ("user_id,bot,bot\na,1,0\n", [], "names 'bot' more than once"),
        ("user_id,bot\na,1\n", ["churn"], "no label 'churn' among"),
        ("user_id,bot\na,2\n", ["bot"], "'bot' is no label: it holds '2'"),
        ("user_id,bot\nA,1\n", [], "none of its 1 users .'A'. is in the data"),
    ],
)
def test_bad_tables_say_what_is_wrong(tmp_path, text, names, message):
  path = csv(tmp_path, text)
  with pytest.raises(UserError, match=message) as error:
    read_labels(path, USERS, names)
  assert "labels.csv" in str(error.value)


def test_unreadable_files_say_so(tmp_path):
  with pytest.raises(UserError, match="no such file"):
    read_labels(tmp_path / "absent.csv", USERS)
  junk = tmp_path / "junk.parquet"
  junk.write_bytes(b"\x00\xff" * 50)
  with pytest.raises(UserError, match="not readable as .parquet"):
    read_labels(junk, USERS)
  junk.rename(tmp_path / "junk.csv")
  with pytest.raises(UserError):
    read_labels(tmp_path / "junk.csv", USERS)
