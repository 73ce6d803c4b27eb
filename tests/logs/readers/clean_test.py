import datetime
import json

from hypothesis import given
from hypothesis import strategies as st
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs.readers import clean
from behavior_lm.logs.readers import columns as columns_lib
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import timestamps


def run(folder, extras=(), **columns):
  """Cleaned rows, and [(row, reason, text)] of the others."""
  height = len(next(iter(columns.values()))) if columns else 1
  data = {
      "row": pl.int_range(1, height + 1, eager=True),
      "user_id": ["u"] * height,
      "event_id": ["e"] * height,
      "design_id": ["d"] * height,
      "timestamp": ["2024-03-04"] * height,
  }
  rejected = quarantine.Quarantine(folder / "quarantine.jsonl")
  found = clean.clean(
      pl.DataFrame(data | columns),
      file="log",
      times=timestamps.TimeReader(None),
      rejected=rejected,
      extras=columns_lib.extra_kinds(extras),
  )
  rejected.close()
  lines = (folder / "quarantine.jsonl").read_text().splitlines()
  bad = [json.loads(line) for line in lines]
  return found, [(line["row"], line["reason"], line["text"]) for line in bad]


@pytest.mark.parametrize(
    ("values", "want"),
    [
        (["1", " -2.5e1 ", "+3"], [1.0, -25.0, 3.0]),
        (["", None, " ", "nan", "NaN"], [None] * 5),
        (pl.Series([1, None], dtype=pl.Int16), [1.0, None]),
        (pl.Series([0.5, float("nan")]), [0.5, None]),
        (pl.Series([True, False, None]), [1.0, 0.0, None]),
        (pl.Series(["7", None], dtype=pl.Categorical), [7.0, None]),
        (pl.Series([None, None]), [None, None]),
    ],
)
def test_extras_become_numbers_and_gaps_nan(tmp_path, values, want):
  found, bad = run(tmp_path, ["level"], level=values)
  assert bad == []
  assert found.columns[-1] == "level"
  assert found["level"].dtype == pl.Float64
  assert found["level"].null_count() == 0
  assert found["level"].fill_nan(None).to_list() == want


@pytest.mark.parametrize(
    ("values", "want"),
    [
        (["88", " 0 ", "é"], ["88", " 0 ", "é"]),
        (["", None, " \t"], [None] * 3),
        (pl.Series([1, None], dtype=pl.UInt8), ["1", None]),
        (pl.Series([2.0, 2.5, float("nan"), None]), ["2", "2.5", None, None]),
        (pl.Series([True, None]), ["true", None]),
        (pl.Series(["7", None], dtype=pl.Categorical), ["7", None]),
        (pl.Series([None, None]), [None, None]),
    ],
)
def test_categories_stay_the_texts_of_the_log(tmp_path, values, want):
  found, bad = run(tmp_path, ["place:cat"], place=values)
  assert bad == []
  assert found["place"].dtype == pl.String
  assert found["place"].to_list() == want


def test_a_column_of_times_is_no_category_and_a_nul_byte_is_no_text(tmp_path):
  with pytest.raises(UserError, match="column 'place' is of type Date, which"):
    run(tmp_path, ["place:cat"], place=[datetime.date(2024, 3, 4)])
  _, bad = run(tmp_path, ["place:cat"], place=["a\0"])
  assert bad[0][1] == quarantine.NUL_BYTE


@given(st.integers(-(2**53), 2**53))
def test_whole_numbers_up_to_2_to_53_survive(tmp_path_factory, number):
  folder = tmp_path_factory.mktemp("number")
  for values in ([str(number)], pl.Series([number], dtype=pl.Int64)):
    found, _ = run(folder, ["price"], price=values)
    assert int(found["price"][0]) == number


def test_a_row_whose_extra_is_no_number_is_rejected(tmp_path):
  found, bad = run(
      tmp_path,
      ["level", "price"],
      level=["1", "x", "inf", "4", "1,5"],
      price=["1", "2", "3", "1e39", None],
  )
  assert found["level"].to_list() == [1.0]
  level = quarantine.not_a_number("level")
  assert level == "extra column level is not a number"
  assert [line[:2] for line in bad] == [
      (2, level),
      (3, level),
      (4, quarantine.not_a_number("price")),
      (5, level),
  ]
  assert bad[0][2] == "u, e, d, 2024-03-04, x, 2"


def test_the_first_fault_of_a_row_is_its_reason(tmp_path):
  _, bad = run(tmp_path, ["level"], user_id=[""], level=["x"])
  assert bad[0][1] == quarantine.NO_USER
  _, bad = run(tmp_path, ["level"], timestamp=["soon"], level=["x"])
  assert bad[0][1] == quarantine.UNREADABLE_TIME


def test_columns_may_have_the_names_of_other_things(tmp_path):
  found, bad = run(tmp_path, ["time"], time=["3"])
  assert (found["time"].to_list(), bad) == ([3.0], [])


def test_a_column_of_times_is_no_number(tmp_path):
  with pytest.raises(UserError, match="column 'level' is of type Date"):
    run(tmp_path, ["level"], level=[datetime.date(2024, 3, 4)])


def test_order_stands_for_time_where_there_is_none(tmp_path):
  places = pl.Series([2_000_000, None, -1]).cast(pl.Duration("us"))
  found, bad = run(tmp_path, timestamp=places)
  assert found["timestamp"].to_list() == [2_000_000]
  assert [line[:2] for line in bad] == [
      (2, quarantine.NO_TIME),
      (3, quarantine.NEGATIVE_TIME),
  ]


def test_a_missing_design_is_none(tmp_path):
  found, _ = run(tmp_path, design_id=["", None, "d"])
  assert found["design_id"].to_list() == ["0", "0", "d"]
