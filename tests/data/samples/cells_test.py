"""Cells of label tables, however they are typed."""

import polars as pl
import pytest

from behavior_lm.data.samples import cells


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ([1.0, 2.5, None, float("nan")], ["1", "2.5", None, None]),
        ([7, None], ["7", None]),
        ([" a ", "", "007"], ["a", None, "007"]),
        ([True, False], ["true", "false"]),
    ],
)
def test_any_column_is_read_as_text(values, want):
  assert cells.texts(pl.Series(values)).to_list() == want


@pytest.mark.parametrize(
    ("values", "want", "bad"),
    [
        ([0, 1, None, 2], [0, 1, None, None], [3]),
        ([0.0, 1.0, 0.5], [0, 1, None], [2]),
        (["TRUE", " 0", "", "no"], [1, 0, None, None], [3]),
    ],
)
def test_binary_cells_are_zero_or_one(values, want, bad):
  numbers, wrong = cells.binary(pl.Series(values))
  assert numbers.to_list() == want
  assert wrong.arg_true().to_list() == bad


@pytest.mark.parametrize(
    ("values", "want", "bad"),
    [
        ([1, None], [1.0, None], []),
        ([1.5, float("nan"), float("inf")], [1.5, None, float("inf")], [2]),
        (["1e3", "", "NaN", "x", "inf"], [1e3, None, None, None, None], [3, 4]),
    ],
)
def test_numbers_are_finite_or_missing(values, want, bad):
  numbers, wrong = cells.finite(pl.Series(values))
  assert wrong.arg_true().to_list() == bad
  good = [i for i in range(len(values)) if i not in bad]
  assert [numbers.to_list()[i] for i in good] == [want[i] for i in good]


@pytest.mark.parametrize(
    "values",
    [
        ["b|a", " a | b|a", "|", "", None],
        [["b", "a"], ["a", "b", "a", None], [], None, None],
    ],
)
def test_sets_of_classes_are_sorted_and_distinct(values):
  found = cells.class_sets(pl.Series(values), "|").to_list()
  assert found == [["a", "b"], ["a", "b"], [], None, None]
