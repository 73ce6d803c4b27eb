"""Label files as people have them."""

import polars as pl
import pytest

from behavior_lm.data.samples import cells


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_the_one_of_the_header(tmp_path, separator):
  path = tmp_path / "labels.csv"
  lines = [("user_id", "churn"), ("007", "1"), ("b", "0")]
  path.write_text("".join(separator.join(line) + "\n" for line in lines))
  assert cells.read_file(path).rows() == lines[1:]


@pytest.mark.parametrize(
    "marker", ["NA", "n/a", "null", "None", "NaN", "<NA>", "#N/A", "\\N", ""]
)
def test_markers_of_absence_are_missing_labels(marker):
  numbers, bad = cells.binary(pl.Series(["1", marker, "false"]))
  assert (numbers.to_list(), bad.any()) == ([1, None, 0], False)
  numbers, bad = cells.finite(pl.Series(["1.5", marker, "-2"]))
  assert (numbers.to_list(), bad.any()) == ([1.5, None, -2.0], False)


@pytest.mark.parametrize("wrong", ["yes", "2", "x", "1,5", "inf"])
def test_other_texts_are_still_errors(wrong):
  _, bad = cells.binary(pl.Series([wrong]))
  assert bad.to_list() == [True]


def test_one_value_has_one_text_in_every_column():
  alone = cells.texts(pl.Series([1.0]))[0]
  assert alone == cells.texts(pl.Series([1.0, 2.5, -0.0, 1e20]))[0] == "1"
