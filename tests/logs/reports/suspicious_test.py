"""Ids that may not mean what they seem to are counted and shown."""

import shlex

import polars as pl
import pytest

from behavior_lm.logs.reports import suspicious


def warnings(users=None, designs=None, **more):
  users = users or {f"u{i}": 10 for i in range(40)}
  designs = designs or {"d": 1}
  return suspicious.find(
      pl.DataFrame({"user_id": list(users), "num_events": users.values()}),
      pl.DataFrame({
          "event_id": ["e"] * len(designs),
          "design_id": list(designs),
          "num_events": designs.values(),
      }),
      **more,
  )


def test_a_plain_log_has_no_warning():
  assert warnings() == []
  assert warnings(designs={"0": 5, "01": 5, "1": 5}) == []


@pytest.mark.parametrize(
    "marker", ["NULL", "\\N", "NA", "None", "nan", "''", "<NA>", " null ", "-1"]
)
def test_a_marker_of_absence_is_named_with_its_share(marker):
  users = {f"u{i}": 1 for i in range(20)} | {marker: 10}
  [found, *_] = warnings(users)
  assert found["kind"] == "marker"
  assert found["text"].startswith(f"user_id {marker!r} has 10 events (33.3%).")
  assert f"--null_values {shlex.quote(marker.strip())}" in found["text"]
  [found] = warnings(designs={"d": 3, marker: 1})
  assert found["text"].startswith(f"design_id {marker!r} has 1 events")


def test_a_user_with_a_large_share_is_named():
  users = {f"u{i}": 1 for i in range(30)}
  [found] = warnings(users | {"bot": 20})
  assert found["text"].startswith("user 'bot' has 20 events (40.0%)")
  # Two users of a small log have large shares for no reason.
  assert warnings({"a": 50, "b": 50}) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a", "a "), ("a", " a"), ("a b", "a  b"), ("Login", "login"),
        ("e\u0301", "\u00e9"), ("\uff21", "A"), ("1", "1.0"), ("2.50", "2.5"),
        ("a\u00a0b", "a b"), ("x\u200b", "x"), ("-1.00", "-1.0"),
        ("True", "true"),
    ],  # fmt: skip
)
def test_look_alikes_are_counted_and_shown(one, other):
  found = [f for f in warnings(designs={one: 1, other: 1, "z": 1})
           if f["kind"] == "alike"]
  assert [f["count"] for f in found] == [1]
  assert ascii(one) in found[0]["text"] and ascii(other) in found[0]["text"]


@pytest.mark.parametrize(
    ("one", "other"), [("1", "01"), ("a", "b"), ("1.5", "1.05"), ("10", "1"),
                       ("1.0.0", "1")]
)
def test_ids_that_differ_are_no_look_alikes(one, other):
  assert warnings(designs={one: 1, other: 1}) == []


def test_numbers_that_lose_digits_are_told():
  extras = {"id": {"min": 0.0, "max": 2.0**53, "count": 5}, "place": {}}
  extras |= {"price": {"min": -5.0, "max": 9.5, "count": 5}}
  extras |= {"nothing": {"min": None, "max": None, "count": 0}}
  [found] = suspicious.imprecise(extras)
  assert found["text"].startswith("extra column id has numbers up to 9.01e+15")


def test_unclear_times_are_counted():
  [found] = warnings(unclear_times=7)
  assert found["count"] == 7


def _split(share, events=100):
  cells = [{"pairs": 1_000, "share": 0.0}, {"pairs": 7_000, "share": share}]
  return {"num_events": events, "coverage": cells}


def test_a_split_that_a_vocabulary_cannot_name_is_told_with_its_share():
  splits = {"train": _split(0.9), "test": _split(0.1), "valid": _split(0, 0)}
  [found] = suspicious.uncovered(splits)
  assert found["count"] == 90
  assert "10%" in found["text"] and "of test" in found["text"]


def test_an_item_that_is_counted_as_0_is_told():
  designs = dict.fromkeys("0123", 5)
  [found] = warnings(designs=designs)
  assert found["kind"] == "zero item" and found["count"] == 5
  assert warnings(designs=dict.fromkeys(["1", "2", "3"], 5)) == []
  assert warnings(designs={"0": 5, "44703335": 5}) == []
