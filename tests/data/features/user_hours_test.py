"""Requests of a log: the user's own items of an hour among those of others."""

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.features.user_hours import user_hours

HOUR = 3_600_000_000
HEADS = {"pv": "click", "buy": "buy"}


def actions(rows: list[tuple[str, str, str, int]]) -> pl.DataFrame:
  names = ["user", "event", "item", "stamp"]
  frame = pl.DataFrame(rows, schema=names, orient="row")
  return frame.with_columns(("c" + pl.col("item")).alias("category"))


ROWS = [
    ("u", "pv", "1", HOUR + 5),
    ("u", "buy", "1", HOUR + 9),
    ("u", "pv", "2", HOUR + 9),
    ("u", "buy", "3", 2 * HOUR),
    ("u", "talk", "9", 3 * HOUR),
    *(("v", "pv", str(n), 5 * HOUR) for n in range(4, 9)),
    ("w", "pv", "77", 30 * HOUR),
]


def test_a_request_is_an_hour_at_its_first_action_labelled_by_what_was_done():
  got = user_hours(actions(ROWS), HEADS, drawn=0)
  mine = got.filter(pl.col("user") == "u")
  assert mine.select("time", "item", "click", "buy").rows() == [
      (HOUR + 5, "1", 1, 1),
      (HOUR + 5, "2", 1, 0),
      (2 * HOUR, "3", 0, 1),
  ]
  assert mine["category"].to_list() == ["c1", "c2", "c3"]


def test_other_candidates_are_of_the_day_and_never_the_users_own():
  got = user_hours(actions(ROWS), HEADS, drawn=30, seed=1)
  assert not got.select("user", "time", "item").is_duplicated().any()
  none = got.filter((pl.col("click") == 0) & (pl.col("buy") == 0))
  first = none.filter((pl.col("user") == "u") & (pl.col("time") == HOUR + 5))
  assert set(first["item"]) == {str(n) for n in range(3, 9)}
  # Nothing else happened on the day of w.
  assert got.filter(pl.col("user") == "w")["item"].to_list() == ["77"]
  again = user_hours(actions(ROWS), HEADS, drawn=30, seed=1)
  assert again.equals(got)


def test_draws_follow_the_frequency_of_the_day():
  rows = [("v", "pv", "often", n) for n in range(90)]
  rows += [("v", "pv", "rare", n) for n in range(10)]
  rows += [(f"u{n}", "pv", "own", HOUR) for n in range(400)]
  got = user_hours(actions(rows), HEADS, drawn=1)
  count = got.filter(pl.col("click") == 0)["item"].value_counts()
  often, rare = (
      count.filter(pl.col("item") == name)["count"].sum()
      for name in ("often", "rare")
  )
  assert often > 4 * rare > 0
  assert np.isclose(often + rare, 400 * 0.2, rtol=0.5)


def test_a_log_without_such_events_is_refused():
  with pytest.raises(UserError, match="no event among pv, buy"):
    user_hours(actions([("u", "talk", "1", 1)]), HEADS, drawn=1)
