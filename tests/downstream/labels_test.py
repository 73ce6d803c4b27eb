"""Label tables, good and bad."""

import polars as pl
import pytest

from behavior_lm.downstream.labels import read_labels
from behavior_lm.errors import UserError

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
  assert got.unlabelled == ["c"]
  assert got.unknown == ["x"]
  assert "'3', '4', '5', ..." in got.ignored_columns["level"]
  notes = "\n".join(got.notes())
  assert "column 'level' is no label" in notes
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


def test_equal_duplicates_are_merged_and_told(tmp_path):
  path = csv(tmp_path, "user_id,bot,note\na,1,x\na,1,y\nb,0,z\n")
  got = read_labels(path, USERS)
  assert got.duplicates == ["a"]
  assert got.table.rows() == [("a", 1), ("b", 0)]


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
