"""Tests for the figures of the logs."""

import pytest

from behavior_lm.reporting.data_figures import data_figures
from behavior_lm.reporting.data_figures import time_text
from tests.artifacts.example_records import changed
from tests.reporting.example_run import DATA_REPORT


def gap_ticks(bins):
  content = changed(DATA_REPORT, "gaps/histogram", bins)
  (figure,) = [f for f in data_figures(content) if f.name == "data_gaps"]
  return [text.get_text() for text in figure.axes.get_xticklabels()]


TIE = {"from": 0.0, "to": 1e-6, "count": 9}


def test_gaps_from_microseconds_to_years_have_times_that_people_know():
  bins = [
      {"from": 10.0**n, "to": 10.0 ** (n + 1), "count": 1}
      for n in range(-6, 9)
  ]
  assert gap_ticks([TIE, *bins]) == [
      "1 µs", "1 ms", "1 s", "1 min", "1 h", "1 d", "1 y"
  ]
  few = [{"from": 2.0, "to": 50.0, "count": 9}, {"from": 50.0, "to": None,
                                                  "count": 1}]
  assert len(gap_ticks(few)) >= 2


def test_gaps_that_are_all_ties_are_one_bar():
  gap_ticks([TIE])
  gaps = DATA_REPORT["gaps"] | {"histogram": [TIE], "zero_share": 1.0}
  (figure,) = [
      f
      for f in data_figures(changed(DATA_REPORT, "gaps", gaps))
      if f.name == "data_gaps"
  ]
  assert len(figure.axes.patches) == 1


def test_the_slope_of_the_growth_is_that_of_its_end():
  growth = [{"events": 10**n, "pairs": 3**n} for n in range(1, 5)]
  figures = data_figures(changed(DATA_REPORT, "growth", growth))
  assert "0.48" in figures[2].caption  # log 3 / log 10


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "500 ms"), (42.5, "42.5 s"), (1_020, "17 min"), (1e5, "1.16 d")],
)
def test_times_are_written_for_people(seconds, text):
  assert time_text(seconds) == text
