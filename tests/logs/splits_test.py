import collections

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs import splits
from tests.logs import log_files

_HOUR = 3600
_SPLIT = "2024-03-05T06:00:00Z"
_EARLY = [splits.TRAIN, splits.HELDOUT_USERS]


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 60)),
        min_size=40,
        max_size=120,
    ),
    st.sampled_from([0.2, 0.5]),
    st.sampled_from(["user", "user_day"]),
    st.integers(0, 3),
)
def test_users_and_times_never_cross(
    tmp_path_factory, events, fraction, unit, seed
):
  # Users 0..19 on both sides, so that no split can be empty by accident.
  events += [(user, time) for user in range(20) for time in (0, 60)]
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
      split_time=_SPLIT,
      user_fraction=fraction,
      seed=seed,
  )
  found = log_files.events_of(dataset)
  # Conservation: the design numbers the rows.
  assert sorted(map(int, found["design_id"])) == list(range(len(rows)))
  held = found.filter(pl.col("split").str.starts_with("heldout"))
  seen = found.filter(~pl.col("split").str.starts_with("heldout"))
  assert not set(held["user_id"]) & set(seen["user_id"])
  early = found.filter(pl.col("split").is_in(_EARLY))["timestamp"]
  late = found.filter(~pl.col("split").is_in(_EARLY))["timestamp"]
  cut = log_files.at(30 * _HOUR)
  assert early.max() < cut <= late.min()


def test_the_same_users_are_held_out_whoever_else_is_there():
  users = [f"user {n}" for n in range(2_000)]
  chosen = splits.heldout_users(users, fraction=0.1, seed=3)
  backwards = splits.heldout_users(users[::-2], fraction=0.1, seed=3)
  np.testing.assert_array_equal(chosen[::-2], backwards)
  other = splits.heldout_users(users, fraction=0.1, seed=4)
  assert 0.07 < chosen.mean() < 0.13
  assert (chosen & other).mean() < 0.03


def test_a_larger_fraction_holds_out_the_same_users_and_more():
  users = [f"user {n}" for n in range(500)]
  few = splits.heldout_users(users, fraction=0.1, seed=0)
  many = splits.heldout_users(users, fraction=0.4, seed=0)
  assert (few <= many).all() and many.sum() > few.sum()


def test_no_fraction_holds_out_nobody():
  assert not splits.heldout_users(["a", "b"], fraction=0.0, seed=0).any()


def test_the_hash_of_a_user_never_changes():
  # Datasets of other machines and other versions were ordered by it.
  assert splits.stable_hash("u1") == 0xE513B8F6E9B62AC6
  assert splits.stable_hash("u1", "heldout 0") == 0xA836B2A2115AA99E


def test_an_event_at_the_split_time_is_a_test_event():
  codes = splits.split_codes(
      np.array([False, False, False, True, True]),
      np.array([9, 10, 11, 9, 10]),
      10,
  )
  assert [splits.SPLITS[code] for code in codes] == [
      "train", "test", "test", "heldout_users", "heldout_users_test",
  ]


def test_without_a_split_time_nothing_is_test():
  codes = splits.split_codes(np.array([False, True]), np.array([0, 9]), None)
  assert [splits.SPLITS[code] for code in codes] == ["train", "heldout_users"]


def sequences(*rows):
  """(split, user, first second, last second) -> a table of sequences."""
  return pl.DataFrame({
      "split": [r[0] for r in rows],
      "user_id": [r[1] for r in rows],
      "start": [log_files.at(r[2]) for r in rows],
      "end": [log_files.at(r[3]) for r in rows],
  })


_CUT = int(log_files.at(100).timestamp() * 1e6)


def test_the_leak_check_passes_what_is_right():
  table = sequences(
      ("train", "a", 0, 99), ("test", "a", 100, 120),
      ("heldout_users", "b", 0, 99), ("heldout_users_test", "b", 100, 101),
  )  # fmt: skip
  splits.check_leaks(table, _CUT)
  splits.check_leaks(table, None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("train", "a", 0, 100)],
            "1 sequences cross the split time, such as one of user 'a' in tra",
        ),
        (
            [("test", "a", 99, 100)],
            "1 sequences cross the split time, such as one of user 'a' in test",
        ),
        (
            [("train", "a", 0, 1), ("heldout_users", "a", 2, 3)],
            "1 users are both held out and not, such as 'a'",
        ),
    ],
)
def test_the_leak_check_finds_what_crosses(rows, message):
  with pytest.raises(ValueError, match=message):
    splits.check_leaks(sequences(*rows), _CUT)


def counts(**given):
  return collections.Counter(given)


@pytest.mark.parametrize(
    ("found", "split_time", "fraction", "message"),
    [
        (
            counts(test=5),
            "2019-01-01",
            0.0,
            "--split_time 2019-01-01: no event is before it, so train is empty."
            " The log runs from A to B. Choose a time inside.",
        ),
        (
            counts(train=5),
            "2030-01-01",
            0.0,
            "--split_time 2030-01-01: no event is at or after it, so test is"
            " empty. The log runs from A to B. Choose a time inside.",
        ),
        (
            counts(train=5),
            None,
            0.1,
            "--user_fraction 0.1: no user is held out, there are too few of"
            " them. Raise it, change --seed, or leave the flag out.",
        ),
        (
            counts(heldout_users=5),
            None,
            0.9,
            "split train is empty: --user_fraction 0.9 holds out every user"
            " with events in it. Lower it or change --seed.",
        ),
        (
            counts(train=5, heldout_users_test=5),
            "2020-01-01",
            0.5,
            "split test is empty: --user_fraction 0.5 holds out every user"
            " with events in it. Lower it or change --seed.",
        ),
    ],
)
def test_an_empty_split_is_refused(found, split_time, fraction, message):
  with pytest.raises(UserError) as caught:
    splits.check_splits(
        found, period=("A", "B"), split_time=split_time, user_fraction=fraction
    )
  assert str(caught.value) == message
