import pytest

from behavior_lm.data import columns
from behavior_lm.errors import UserError

_OURS = ["user_id", "event_id", "design_id", "timestamp"]


def test_a_mapping_is_read():
  assert columns.parse_columns(" user_id = uid, timestamp=ts ") == {
      "user_id": "uid",
      "timestamp": "ts",
  }
  assert columns.parse_columns("") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "user_id",
            "--columns: 'user_id' is not of the form ours=theirs, for example"
            " --columns user_id=uid,event_id=action,timestamp=ts",
        ),
        (
            "uid=user_id",
            "--columns: 'uid' is not a column of ours; they are user_id,"
            " event_id, design_id, timestamp (ours=theirs)",
        ),
        ("user_id=a,user_id=b", "--columns: user_id is given twice"),
    ],
)
def test_a_bad_mapping_is_refused(text, message):
  with pytest.raises(UserError) as caught:
    columns.parse_columns(text)
  assert str(caught.value) == message


def test_the_design_may_be_missing():
  found = columns.resolve_columns({}, ["event_id", "timestamp", "user_id"], "f")
  assert set(found) == {"user_id", "event_id", "timestamp"}
  assert set(columns.resolve_columns({}, _OURS, "f")) == set(_OURS)


def test_a_mapped_name_wins_over_ours():
  names = [*_OURS, "uid"]
  found = columns.resolve_columns({"user_id": "uid"}, names, "f")
  assert found["user_id"] == "uid"


@pytest.mark.parametrize(
    ("mapping", "found", "message"),
    [
        (
            {},
            ["uid", "event_id", "timestamp"],
            "f.csv: no column 'user_id'. Its columns: 'uid', 'event_id',"
            " 'timestamp'. Name the right one with --columns"
            " user_id=THEIR_NAME.",
        ),
        (
            {"design_id": "item"},
            ["user_id", "event_id", "timestamp"],
            "f.csv: --columns says design_id=item, but there is no column"
            " 'item'. Its columns: 'user_id', 'event_id', 'timestamp'.",
        ),
        (
            {},
            ["user_id", "event_id", "user_id", "timestamp"],
            "f.csv: the header names 'user_id' more than once. Rename the"
            " columns so that each name is there once.",
        ),
        (
            {},
            [f"c{n}" for n in range(30)],
            "f.csv: no column 'user_id'. Its columns: "
            + ", ".join(f"'c{n}'" for n in range(20))
            + " and 10 more. Name the right one with --columns"
            " user_id=THEIR_NAME.",
        ),
    ],
)
def test_a_column_that_is_not_there_is_named(mapping, found, message):
  with pytest.raises(UserError) as caught:
    columns.resolve_columns(mapping, found, "f.csv")
  assert str(caught.value) == message
