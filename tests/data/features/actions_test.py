"""Actions before a request: newest first, strictly earlier, any number."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.features import actions as actions_lib
from behavior_lm.data.features.tables import ValueTable

TYPES = ValueTable(1, ("click", "hide"))
ITEMS = ValueTable(5, tuple(f"i{n}" for n in range(20)))


def make(rows: list[tuple[str, int, str, str]]) -> actions_lib.Actions:
  names = ["user_id", "timestamp", "event_id", "design_id"]
  frame = pl.DataFrame(
      rows, schema=dict(zip(names, [pl.String, pl.Int64, pl.String, pl.String],
                            strict=True)), orient="row")
  return actions_lib.Actions.of(frame, TYPES, ITEMS)


ROWS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 6),
        st.sampled_from(["click", "hide", "new"]),
        st.sampled_from(["i0", "i3", "i7", "gone"]),
    ),
    max_size=25,
)


@given(ROWS, st.sampled_from("abcx"), st.integers(0, 8))
def test_the_last_actions_equal_a_filter_by_hand(rows, user, time):
  found = make(rows)
  got = found.before(found.numbers([user]), np.array([time]), 4)
  # Ties keep their order, so the newest of them comes first.
  mine = [row for row in rows if row[0] == user and row[1] < time]
  earlier = sorted(mine, key=lambda row: row[1])
  newest = earlier[::-1][:4]
  items = ITEMS.ids(pl.Series([row[3] for row in newest], dtype=pl.String))
  types = TYPES.ids(pl.Series([row[2] for row in newest], dtype=pl.String))
  padding = [0] * (4 - len(newest))
  assert got["action_items"][0].tolist() == [*items.tolist(), *padding]
  assert got["action_types"][0].tolist() == [*types.tolist(), *padding]
  ages = [(time - row[1]) / 1e6 for row in newest]
  np.testing.assert_allclose(got["action_ages"][0], [*ages, *padding])
  counts = [sum(row[2] == name for row in earlier)
            for name in ("new", "click", "hide")]
  assert got["action_counts"][0].tolist() == [0, *counts]


def test_ten_thousand_actions_end_with_the_newest():
  found = make([("a", n, "click", f"i{n % 20}") for n in range(10_000)])
  got = found.before(found.numbers(["a"]), np.array([9_999]), 3)
  assert got["action_items"][0].tolist() == [5 + 2 + n for n in (18, 17, 16)]
  assert got["action_counts"].sum() == 9_999


def test_a_planted_leak_is_not_read_and_is_caught():
  found = make([("a", 5, "click", "i1"), ("a", 3, "hide", "i2")])
  at = found.numbers(["a"]), np.array([5])
  fair = found.before(*at, 2)
  assert (fair["action_items"] > 0).sum() == 1
  actions_lib.check_before(fair, "rows")
  # One microsecond later it would be known; the request does not move.
  planted = found.before(at[0], np.array([6]), 2)
  planted["action_ages"] = planted["action_ages"] - np.float32(1e-6)
  with pytest.raises(UserError, match="rows, row 0: an action is at or after"):
    actions_lib.check_before(planted, "rows")


def test_a_user_without_actions_has_none():
  found = make([("a", 1, "click", "i1")])
  got = found.before(found.numbers(["b", "a"]), np.array([9, 1]), 2)
  assert not got["action_types"].any() and not got["action_counts"].any()
