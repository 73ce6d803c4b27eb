"""No user and no time crosses a split; the order of rows changes none."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import History
from behavior_lm.data.samples import read_table
from behavior_lm.data.samples import splits
from behavior_lm.logs.dataset import open_dataset
from tests import tiny
from tests.data.samples.fake_log import at
from tests.data.samples.fake_log import declare
from tests.data.samples.fake_log import FakeLog
from tests.data.samples.fake_log import stamps

HISTORY = History(FakeLog([("u0", 0, 1)]))
COLUMNS = declare(labels={"bot": "binary", "map": "multi_class"})


def table_of(users, seconds, bot, columns=COLUMNS):
  frame = pl.DataFrame({
      "user_id": [f"u{user}" for user in users],
      "when": stamps(seconds),
      "bot": bot,
      "map": [f"m{value}" for value in bot],
  })
  return read_table(frame, columns, HISTORY)


def many(num_users=200, rows_per_user=3, share=0.2, seed=0):
  """Users with rows at 1, 2, 3 seconds; about `share` of them are bots."""
  rng = np.random.default_rng(seed)
  bots = (np.arange(num_users) < share * num_users).astype(int)
  order = rng.permutation(num_users * rows_per_user)
  users = order // rows_per_user
  return table_of(users, order % rows_per_user + 1, bots[users])


def users_of(table, rows):
  return set(table.frame["user_id"][rows])


def contents(table, sides):
  """{side: the rows as (user, time)}, whatever their positions."""
  keys = table.frame.select("user_id", "sample/time").rows()
  return {name: [keys[row] for row in rows] for name, rows in sides.items()}


def check_cover(table, sides):
  rows = np.concatenate(list(sides.values()))
  assert sorted(rows) == list(range(len(table)))
  for part in sides.values():
    assert (np.diff(part) > 0).all()


FRACTIONS = {"train": 0.7, "valid": 0.1, "test": 0.2}


@given(st.integers(0, 1_000), st.sampled_from(["", "bot", "map"]))
def test_no_user_is_on_two_sides(seed, stratify):
  # So many that no side is empty: 0.9 ** 200 is nothing.
  table = many(200)
  sides = splits.by_user(table, FRACTIONS, seed=seed, stratify=stratify)
  check_cover(table, sides)
  found = [users_of(table, rows) for rows in sides.values()]
  assert sum(map(len, found)) == len(set.union(*found)) == 200


def test_a_stratified_split_divides_each_class_by_the_fractions():
  table = many(200, share=0.1)
  sides = splits.by_user(table, FRACTIONS, seed=3, stratify="bot")
  for name, fraction in FRACTIONS.items():
    bots = table.frame[sides[name]].filter(pl.col("label/bot") == 1)
    people = table.frame[sides[name]].filter(pl.col("label/bot") == 0)
    assert bots["user_id"].n_unique() == pytest.approx(20 * fraction, abs=1)
    assert people["user_id"].n_unique() == pytest.approx(180 * fraction, abs=1)


def test_the_side_of_a_user_does_not_depend_on_other_users():
  few, table = many(50), many(200)
  sides = splits.by_user(few, FRACTIONS, seed=0)
  more = splits.by_user(table, FRACTIONS, seed=0)
  for name in FRACTIONS:
    assert users_of(few, sides[name]) <= users_of(table, more[name])
  assert len(more["train"]) == pytest.approx(0.7 * len(table), rel=0.15)


@pytest.mark.parametrize(
    "split",
    [
        lambda t: splits.by_user(t, FRACTIONS, seed=0, stratify="bot"),
        lambda t: splits.by_time(t, at(3), valid_time=at(2)),
        lambda t: splits.by_user_and_time(t, at(3), fraction=0.3, seed=0),
        lambda t: splits.leave_one_out(t),
        lambda t: splits.folds(t, 3, seed=0, stratify="map")[0],
        lambda t: splits.train_sizes(
            t, np.arange(len(t)), [8, 64], seed=0, stratify="map"
        ),
    ],
)
def test_the_order_of_the_rows_changes_no_split(split):
  # The same rows, in two orders.
  first, second = many(seed=0), many(seed=1)
  assert first.frame["sample/row"].to_list() != (
      second.frame["sample/row"].to_list()
  )
  assert contents(first, split(first)) == contents(second, split(second))


def test_another_seed_chooses_others():
  table = many()
  one = splits.by_user(table, FRACTIONS, seed=0)
  other = splits.by_user(table, FRACTIONS, seed=1)
  assert users_of(table, one["test"]) != users_of(table, other["test"])


@given(st.lists(st.integers(0, 30), min_size=2, max_size=20, unique=True))
def test_no_row_of_train_is_at_or_after_the_split_time(seconds):
  table = table_of([0] * len(seconds), seconds, [1] * len(seconds))
  split_time = at(max(seconds))
  sides = splits.by_time(table, split_time)
  check_cover(table, sides)
  times = splits.times_of(table.frame)
  assert (times[sides["train"]] < split_time).all()
  assert (times[sides["test"]] >= split_time).all()


def test_valid_lies_between_its_time_and_the_split_time():
  table = many(5)
  sides = splits.by_time(table, at(3), valid_time=at(2))
  times = splits.times_of(table.frame)
  for name, second in (("train", 1), ("valid", 2), ("test", 3)):
    assert set(times[sides[name]]) == {at(second)}


def test_both_keeps_users_apart_and_train_before_the_split_time():
  table = many()
  sides = splits.by_user_and_time(table, at(3), fraction=0.3, seed=0)
  check_cover(table, sides)
  users = {name: users_of(table, rows) for name, rows in sides.items()}
  assert users["train"] == users["test"]
  assert users["heldout_users"] == users["heldout_users_test"]
  assert not users["train"] & users["heldout_users"]
  times = splits.times_of(table.frame)
  for name, rows in sides.items():
    assert ((times[rows] >= at(3)) == name.endswith("test")).all()


def test_the_held_out_users_are_those_of_the_prepared_dataset(tmp_path):
  path = tiny.tiny_dataset(tmp_path, user_fraction=0.5, seed=1)
  dataset = open_dataset(path)
  history = History(dataset)
  users = history.users["user_id"].to_list()
  time = tiny.START + 2 * tiny.DAY_US
  frame = pl.DataFrame({
      "user_id": users * 2,
      "when": pl.Series([time] * 6 + [time + 1] * 6).cast(
          pl.Datetime("us", "UTC")
      ),
      "bot": [1] * 12,
  })
  table = read_table(frame, declare(), history)
  sides = splits.by_user_and_time(table, time + 1, fraction=0.5, seed=1)
  want = set(dataset.sequences("heldout_users")["user_id"])
  assert users_of(table, sides["heldout_users"]) == want
  assert 0 < len(want) < 6


def test_leave_one_out_takes_the_last_row_of_each_user():
  users = [0, 0, 0, 0, 1, 1, 1, 2, 2, 3]
  seconds = [4, 1, 3, 2, 7, 9, 8, 1, 2, 5]
  table = table_of(users, seconds, [1] * 10)
  found = contents(table, splits.leave_one_out(table))
  got = {
      name: [(user, time.timestamp()) for user, time in rows]
      for name, rows in found.items()
  }
  second = lambda user, s: (user, at(s) / 1e6)
  assert got["test"] == [second("u0", 4), second("u1", 9)]
  assert got["valid"] == [second("u0", 3), second("u1", 8)]
  assert len(got["train"]) == 6
  pairs = contents(table, splits.leave_one_out(table, min_rows=2))
  assert [user for user, _ in pairs["test"]] == ["u0", "u1", "u2"]


@given(
    st.integers(2, 7), st.integers(0, 99), st.sampled_from(["", "bot", "map"])
)
def test_each_user_is_in_the_test_side_of_one_fold(k, seed, stratify):
  table = many(41)
  found = splits.folds(table, k, seed=seed, stratify=stratify)
  tested = [users_of(table, fold["test"]) for fold in found]
  assert len(found) == k
  assert sum(map(len, tested)) == len(set.union(*tested)) == 41
  for fold, users in zip(found, tested, strict=True):
    check_cover(table, fold)
    assert not users & users_of(table, fold["train"])
  sizes = [len(users) for users in tested]
  assert max(sizes) - min(sizes) <= 1
  if stratify:
    bots = [
        table.frame[fold["test"]].filter(pl.col("label/bot") == 1)["user_id"]
        .n_unique()
        for fold in found
    ]
    assert max(bots) - min(bots) <= 1


@given(st.integers(0, 99), st.sampled_from(["", "bot"]))
def test_train_sizes_are_nested(seed, stratify):
  table = many(100)
  rows = splits.by_user(table, FRACTIONS, seed=0)["train"]
  sizes = [64, 16, 32, 10**6]
  found = splits.train_sizes(table, rows, sizes, seed=seed, stratify=stratify)
  assert list(found) == [16, 32, 64, len(rows)]
  parts = [set(part) for part in found.values()]
  assert [len(part) for part in parts] == list(found)
  for small, large in zip(parts, parts[1:], strict=False):
    assert small < large
  assert parts[-1] == set(rows)
  if stratify:
    share = (table.frame[rows]["label/bot"] == 1).mean()
    for size, part in found.items():
      bots = int((table.frame[part]["label/bot"] == 1).sum())
      assert bots == pytest.approx(share * size, abs=1)


def test_users_without_a_label_are_a_stratum_of_their_own():
  table = table_of(range(20), [1] * 20, [None] * 10 + [1] * 10)
  sides = splits.by_user(
      table, {"train": 0.5, "test": 0.5}, seed=0, stratify="bot"
  )
  for rows in sides.values():
    assert table.frame[rows]["label/bot"].null_count() == 5


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (lambda t: splits.by_user(t, {"a": 0.5}, seed=0), "sum to 1"),
        (lambda t: splits.by_user(t, {"a": 1.5, "b": -0.5}, seed=0), "sum"),
        (
            lambda t: splits.by_user(
                t, {"a": 1 - 1e-6, "b": 1e-6}, seed=0
            ),
            "no sample is in b",
        ),
        (
            lambda t: splits.by_user(t, FRACTIONS, seed=0, stratify="age"),
            "bot, map",
        ),
        (lambda t: splits.by_time(t, at(0)), "no sample is in train"),
        (lambda t: splits.by_time(t, at(2), valid_time=at(2)), "valid_time"),
        (
            lambda t: splits.by_user_and_time(t, at(2), fraction=1, seed=0),
            "fraction",
        ),
        (lambda t: splits.leave_one_out(t, min_rows=1), "min_rows"),
        (lambda t: splits.folds(t, 1, seed=0), "num_folds"),
        (lambda t: splits.folds(t, 300, seed=0), "num_folds"),
    ],
)
def test_a_split_that_cannot_be_is_refused(split, words):
  with pytest.raises(UserError, match=words):
    split(many())


@pytest.mark.parametrize(
    "split",
    [
        lambda t: splits.by_time(t, at(2)),
        lambda t: splits.by_user_and_time(t, at(2), fraction=0.5, seed=0),
        splits.leave_one_out,
    ],
)
def test_a_split_by_time_needs_times(split):
  columns = declare(labels=COLUMNS.labels, time="")
  table = table_of(range(4), [1] * 4, [1] * 4, columns)
  with pytest.raises(UserError, match="have no time"):
    split(table)
