import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema
from behavior_lm.logs.readers import columns

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
            " event_id, design_id, timestamp (ours=theirs). Further"
            " columns are named with --extras first.",
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
        (
            {},
            ["user_id", "event_id", "Time, UTC"],
            "f.csv: no column 'timestamp'. Its columns: 'user_id', 'event_id',"
            " 'Time, UTC'. Name the right one with --columns"
            " timestamp=THEIR_NAME. A name with a comma is in quotes: --columns"
            " 'timestamp=\"Time, UTC\"'",
        ),
    ],
)
def test_a_column_that_is_not_there_is_named(mapping, found, message):
  with pytest.raises(UserError) as caught:
    columns.resolve_columns(mapping, found, "f.csv")
  assert str(caught.value) == message


def test_extras_are_declared_as_numbers_or_categories():
  declared = columns.parse_extras("price,shop:cat, level:num ,place")
  assert declared == ("price", "shop:cat", "level:num", "place")
  kinds = columns.extra_kinds(declared, categorical=("place", "level"))
  assert list(kinds.items()) == [
      ("price", schema.NUMERIC), ("shop", schema.CATEGORICAL),
      ("level", schema.NUMERIC), ("place", schema.CATEGORICAL),
  ]  # fmt: skip
  assert columns.extra_kinds(columns.declare_extras(kinds)) == kinds


def test_extras_are_named_and_may_be_mapped():
  assert columns.parse_extras(" level, price2 ,") == ("level", "price2")
  assert columns.parse_extras("") == ()
  mapping = columns.parse_columns("level=lvl,user_id=uid", ("level",))
  assert mapping == {"level": "lvl", "user_id": "uid"}
  found = columns.resolve_columns(
      mapping, ["uid", "event_id", "timestamp", "lvl"], "log", ("level",)
  )
  assert found["level"] == "lvl"
  with pytest.raises(UserError, match="log: no column 'level'"):
    columns.resolve_columns(
        {}, ["user_id", "event_id", "timestamp"], "log", ("level",)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Level", "'Level' is no name for a column; use small letters"),
        ("2x", "'2x' is no name"),
        ("a b", "'a b' is no name"),
        ("_a", "'_a' is no name"),
        ("level,level", "level is given twice"),
        ("level,level:cat", "level is given twice"),
        ("level:text", "'level:text' is not of the form NAME, NAME:num or"),
        ("level:", "'level:' is not of the form"),
        (":cat", "'' is no name"),
        *[
            (name, f"--extras my_{name} --columns my_{name}={name}")
            for name in ("user_id", "timestamp", "start", "pair", "row", "why")
        ],
    ],
)
def test_bad_names_of_extras_are_refused(text, message):
  with pytest.raises(UserError) as caught:
    columns.parse_extras(text)
  assert message in str(caught.value)
