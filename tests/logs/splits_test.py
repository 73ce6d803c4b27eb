import collections
import json

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs import leaks
from behavior_lm.logs import splits
from behavior_lm.logs.sequences import Cut
from behavior_lm.logs.stages import partitions
from tests.logs.support import log_files

_HOUR = 3600
_VALID, _SPLIT = "2024-03-04T18:00:00Z", "2024-03-05T06:00:00Z"


@pytest.mark.slow
@settings(max_examples=8)  # Each prepares a dataset.
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 60)),
        min_size=40,
        max_size=120,
    ),
    st.sampled_from([0.2, 0.4]),
    st.sampled_from(["user", "user_day"]),
    st.integers(0, 3),
)
def test_users_and_times_never_cross(
    tmp_path_factory, events, fraction, unit, seed
):
  # Users 0..19 at all times, so that no split can be empty by accident.
  events += [(user, time) for user in range(20) for time in (0, 24, 60)]
  rows = [
      (f"u{user}", "e", str(n), time * _HOUR)
      for n, (user, time) in enumerate(events)
  ]
  folder = tmp_path_factory.mktemp("log")
  log_files.event_frame(rows).write_parquet(folder / "log.parquet")
  dataset = log_files.prepared(
      folder / "log.parquet",
      folder / "out",
      unit=unit,
      valid_time=_VALID,
      split_time=_SPLIT,
      valid_fraction=0.4,
      user_fraction=fraction,
      seed=seed,
  )
  found = log_files.events_of(dataset)
  assert dataset.splits == list(splits.SPLITS)
  # Conservation: the design numbers the rows.
  assert sorted(map(int, found["design_id"])) == list(range(len(rows)))
  users = [
      set(found.filter(pl.col("split").is_in(group))["user_id"])
      for group in splits.GROUPS
  ]
  assert sum(map(len, users)) == len(set.union(*users))
  # Hours after the start: valid begins at 18 and test at 30.
  bounds = {
      "train": (0, 18), "valid": (18, 30), "test": (30, 99),
      "valid_users": (0, 30), "valid_users_test": (30, 99),
      "heldout_users": (0, 30), "heldout_users_test": (30, 99),
  }  # fmt: skip
  for split, (low, high) in bounds.items():
    times = found.filter(pl.col("split") == split)["timestamp"]
    assert log_files.at(low * _HOUR) <= times.min()
    assert times.max() < log_files.at(high * _HOUR)


def held_out(users, fraction, seed, valid=0.0):
  rules = Cut(user_fraction=fraction, valid_fraction=valid, seed=seed)
  return splits.user_groups(users, rules) == 2


def test_the_same_users_are_held_out_whoever_else_is_there():
  users = [f"user {n}" for n in range(2_000)]
  chosen = held_out(users, 0.1, seed=3)
  backwards = held_out(users[::-2], 0.1, seed=3)
  np.testing.assert_array_equal(chosen[::-2], backwards)
  other = held_out(users, 0.1, seed=4)
  assert 0.07 < chosen.mean() < 0.13
  assert (chosen & other).mean() < 0.03


def test_a_larger_fraction_holds_out_the_same_users_and_more():
  users = [f"user {n}" for n in range(500)]
  few = held_out(users, 0.1, seed=0)
  many = held_out(users, 0.4, seed=0)
  assert (few <= many).all() and many.sum() > few.sum()


def test_no_fraction_holds_out_nobody():
  assert splits.user_groups(["a", "b"], Cut()).tolist() == [0, 0]


def test_setting_users_aside_changes_nobody_who_is_held_out():
  users = [f"user {n}" for n in range(4_000)]
  held = held_out(users, 0.2, seed=0)
  np.testing.assert_array_equal(held_out(users, 0.2, seed=0, valid=0.5), held)
  rules = Cut(user_fraction=0.2, valid_fraction=0.5)
  aside = splits.user_groups(users, rules) == 1
  assert 0.45 < aside[~held].mean() < 0.55


def test_the_hash_of_a_user_never_changes():
  # Datasets of other machines and other versions were ordered by it.
  assert splits.stable_hash("u1") == 0xE513B8F6E9B62AC6
  assert splits.stable_hash("u1", "heldout 0") == 0xA836B2A2115AA99E


def names(codes):
  return [splits.SPLITS[code] for code in codes]


def test_an_event_at_a_split_time_is_behind_it():
  rules = Cut(valid_time=10, split_time=20)
  times = np.array([9, 10, 19, 20, 21])
  groups = np.zeros(5, np.int8)
  assert names(splits.split_codes(groups, times, rules)) == [
      "train", "valid", "valid", "test", "test",
  ]  # fmt: skip
  assert names(splits.split_codes(groups + 1, times, rules)) == (
      ["valid_users"] * 3 + ["valid_users_test"] * 2
  )
  assert names(splits.split_codes(groups + 2, times, rules)) == (
      ["heldout_users"] * 3 + ["heldout_users_test"] * 2
  )


def test_without_times_nothing_is_valid_or_test():
  codes = splits.split_codes(np.array([0, 1, 2]), np.array([0, 9, 9]), Cut())
  assert names(codes) == ["train", "valid_users", "heldout_users"]


@given(
    st.none() | st.integers(0, 20),
    st.none() | st.integers(0, 20),
    st.integers(0, 2),
    st.integers(-1, 21),
)
def test_the_period_of_a_split_holds_exactly_its_events(
    valid, split, group, time
):
  if valid is not None and split is not None:
    valid, split = min(valid, split), max(valid, split)
  rules = Cut(valid_time=valid, split_time=split)
  [code] = splits.split_codes(np.array([group]), np.array([time]), rules)
  for name in splits.GROUPS[group]:
    low, high = splits.period_of(name, rules)
    inside = (low is None or low <= time) and (high is None or time < high)
    if split is not None or not name.endswith("test"):
      if valid is not None or name != "valid":
        assert inside == (name == splits.SPLITS[code])


_user_events = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 9)), min_size=3, max_size=60
)


@pytest.mark.slow
@settings(max_examples=8)
@given(_user_events, st.sampled_from(["user", "user_day"]), st.booleans())
def test_leave_one_out_takes_the_last_two_events_of_a_user(
    tmp_path_factory, events, unit, tiny_parts
):
  events += [(9, 0), (9, 1), (9, 2)]  # Somebody has three.
  rows = [
      (f"u{user}", "e", str(n), time * 6 * _HOUR)
      for n, (user, time) in enumerate(events)
  ]
  folder = tmp_path_factory.mktemp("log")
  log_files.event_frame(rows).write_parquet(folder / "log.parquet")
  with pytest.MonkeyPatch.context() as patch:
    if tiny_parts:
      patch.setattr(partitions, "MAX_ROWS", 4)
    dataset = log_files.prepared(
        folder / "log.parquet", folder / "out", unit=unit, leave_one_out=True
    )
  want = {}
  short = 0
  for user in {row[0] for row in rows}:
    mine = sorted((row for row in rows if row[0] == user), key=lambda r: r[3])
    places = ["train"] * len(mine)
    if len(mine) >= 3:
      places[-2:] = ["valid", "test"]
    else:
      short += 1
    want |= {row[2]: place for row, place in zip(mine, places, strict=True)}
  found = log_files.events_of(dataset)
  assert dict(found.select("design_id", "split").iter_rows()) == want
  report = json.loads((folder / "out" / "report.json").read_text())
  assert report["leave_one_out"]["short_users"] == short
  assert leaks.find_leaks(dataset).messages == []


def sequences(*rows):
  """(split, user, first second, last second) -> a table of sequences."""
  return pl.DataFrame({
      "split": [r[0] for r in rows],
      "user_id": [r[1] for r in rows],
      "start": [log_files.at(r[2]) for r in rows],
      "end": [log_files.at(r[3]) for r in rows],
      "num_events": [r[4] if len(r) > 4 else 2 for r in rows],
  })


def micros(seconds):
  return int(log_files.at(seconds).timestamp() * 1e6)


_CUT = Cut(valid_time=micros(50), split_time=micros(100))


def test_the_leak_check_passes_what_is_right():
  table = sequences(
      ("train", "a", 0, 49), ("valid", "a", 50, 99), ("test", "a", 100, 120),
      ("valid_users", "c", 0, 99), ("valid_users_test", "c", 100, 101),
      ("heldout_users", "b", 0, 99), ("heldout_users_test", "b", 100, 101),
  )  # fmt: skip
  splits.check_leaks(table, _CUT)
  splits.check_leaks(table, Cut())


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("train", "a", 0, 50)],
            "1 sequences of train hold events of another time, such as one of"
            " user 'a'",
        ),
        ([("valid", "a", 50, 100)], "1 sequences of valid hold events of"),
        ([("valid", "a", 49, 60)], "1 sequences of valid hold events of"),
        ([("test", "a", 99, 100)], "1 sequences of test hold events of"),
        ([("valid_users", "a", 9, 100)], "1 sequences of valid_users hold"),
        (
            [("train", "a", 0, 1), ("heldout_users", "a", 2, 3)],
            "1 users are in splits of different groups of users, such as 'a'",
        ),
        (
            [("valid", "a", 50, 51), ("valid_users", "a", 2, 3)],
            "1 users are in splits of different groups of users, such as 'a'",
        ),
    ],
)
def test_the_leak_check_finds_what_crosses(rows, message):
  with pytest.raises(ValueError, match=message):
    splits.check_leaks(sequences(*rows), _CUT)


@pytest.mark.parametrize(
    "rows",
    [
        # The last event is in valid, or in train; a user has two in test.
        [("train", "a", 0, 1), ("valid", "a", 3, 3, 1), ("test", "a", 2, 2, 1)],
        [("train", "a", 0, 4), ("valid", "a", 3, 3, 1), ("test", "a", 4, 4, 1)],
        [("train", "a", 0, 1), ("valid", "a", 2, 2, 1), ("test", "a", 3, 3, 2)],
        # Three events and none of them in test; two and one of them there.
        [("train", "a", 0, 9, 3)],
        [("train", "a", 0, 0, 1), ("test", "a", 1, 1, 1)],
    ],
)
def test_the_leak_check_finds_events_that_are_not_the_last(rows):
  with pytest.raises(ValueError, match="1 users do not have their last event"):
    splits.check_leaks(sequences(*rows), Cut(leave_one_out=True))
  right = sequences(
      ("train", "a", 0, 2), ("valid", "a", 2, 2, 1), ("test", "a", 2, 2, 1),
      ("train", "b", 0, 9, 2),
  )  # fmt: skip
  splits.check_leaks(right, Cut(leave_one_out=True))


def counts(**given):
  return collections.Counter(given)


_FULL = counts(train=5, valid=5, test=5, valid_users=5, heldout_users=5)


@pytest.mark.parametrize(
    ("found", "flags", "message"),
    [
        (
            counts(test=5),
            {"split_time": "2019-01-01"},
            "--split_time 2019-01-01: no event is before it, so train is empty."
            " The log runs from A to B. Choose a time inside.",
        ),
        (
            counts(train=5),
            {"split_time": "2030-01-01"},
            "--split_time 2030-01-01: no event is at or after it, so test is"
            " empty. The log runs from A to B. Choose a time inside.",
        ),
        (
            counts(train=5),
            {"user_fraction": 0.1},
            "--user_fraction 0.1: no user is held out, there are too few of"
            " them. Raise it, change --seed, or leave the flag out.",
        ),
        (
            counts(train=5),
            {"valid_fraction": 0.1},
            "--valid_fraction 0.1: no user is set aside for validation, there"
            " are too few of them. Raise it, change --seed, or leave the flag"
            " out.",
        ),
        (
            counts(heldout_users=5),
            {"user_fraction": 0.9},
            "split train is empty: --user_fraction 0.9 left it no user with"
            " events in it. Lower the share or change --seed.",
        ),
        (
            counts(train=5, heldout_users_test=5, valid_users=5),
            {"split_time": "2020", "user_fraction": 0.5, "valid_fraction": 0.4},
            "split test is empty: --user_fraction 0.5 and --valid_fraction 0.4"
            " left it no user with events in it. Lower the share or change"
            " --seed.",
        ),
        (
            counts(valid=5, test=5),
            {"split_time": "2020", "valid_time": "2019"},
            "--valid_time 2019: no event to train on is before it, so train is"
            " empty. The log runs from A to B. Choose a time inside.",
        ),
        (
            counts(train=5, test=5),
            {"split_time": "2020", "valid_time": "2019"},
            "--valid_time 2019: no event of the users of train is at or after"
            " it and before --split_time 2020, so valid is empty. The log runs"
            " from A to B. Choose another time.",
        ),
        (
            counts(train=5),
            {"valid_time": "2019"},
            "--valid_time 2019: no event of the users of train is at or after"
            " it, so valid is empty. The log runs from A to B. Choose another"
            " time.",
        ),
        (
            counts(train=5),
            {"leave_one_out": True},
            "--leave_one_out: no user has 3 events, so valid and test are"
            " empty. Split by --split_time or --user_fraction.",
        ),
    ],
)
def test_an_empty_split_is_refused(found, flags, message):
  with pytest.raises(UserError) as caught:
    splits.check_splits(found, period=("A", "B"), **flags)
  assert str(caught.value) == message
  splits.check_splits(_FULL, period=("A", "B"), **flags)
