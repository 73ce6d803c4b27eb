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

_NO_RULES = clean.Rules()


def run(folder, extras=(), rules=_NO_RULES, **columns):
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
      rules=rules,
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
        (["true", "FALSE", "3.5"], [1.0, 0.0, 3.5]),
        (["NA", "null", "None", "n/a", "\\N", "#N/A", "<NA>", "1"],
         [None] * 7 + [1.0]),
        (["123456789", "16777217", "9007199254740991"],
         [123456789.0, 16777217.0, 9007199254740991.0]),
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
  with pytest.raises(UserError, match="column 'place' is of type Datetime"):
    run(tmp_path, ["place:cat"], place=[datetime.datetime(2024, 3, 4)])
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


@pytest.mark.parametrize(
    ("written", "want"),
    [("3,50", 3.5), ("1.234,5", 1234.5), ("-7", -7.0), ("1.000.000", 1e6)],
)
def test_decimal_commas_are_read_where_they_are_asked_for(
    tmp_path, written, want
):
  rules = clean.Rules(decimal_comma=True)
  found, bad = run(tmp_path, ["level"], rules, level=[written])
  assert (found["level"].to_list(), bad) == ([want], [])


@pytest.mark.parametrize("written", ["3,50", "1,234", "yes", "12%"])
def test_what_may_mean_two_numbers_is_rejected(tmp_path, written):
  _, bad = run(tmp_path, ["level"], level=[written])
  assert [why for _, why, _ in bad] == [quarantine.not_a_number("level")]


def test_markers_of_absence_are_nothing_in_every_column(tmp_path):
  rules = clean.Rules(null_values=("NULL", "\\N"))
  found, bad = run(
      tmp_path,
      ["level", "kind:cat"],
      rules,
      user_id=["u", "NULL", " NULL ", "nullify"],
      design_id=["\\N", "d", "d", "NULLs"],
      level=["NULL", "1", "1", "2"],
      kind=["\\N", "a", "a", "b"],
  )
  assert [(row, why) for row, why, _ in bad] == [
      (2, quarantine.NO_USER), (3, quarantine.NO_USER)
  ]
  assert found["design_id"].to_list() == ["0", "NULLs"]
  assert found["kind"].to_list() == [None, "b"]
  # Without the rules they are names like any other.
  found, bad = run(tmp_path, user_id=["NULL"], design_id=["\\N"])
  assert (found["design_id"].to_list(), bad) == (["\\N"], [])
