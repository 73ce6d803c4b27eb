"""Tests for the section about the logs."""

import json

import polars as pl
import pytest

from behavior_lm.logs.reports import report
from behavior_lm.logs.reports.session_statistics import SessionStatistics
from behavior_lm.reporting.data_section import data_section
from tests.artifacts.example_records import changed
from tests.reporting.example_run import DATA_REPORT
from tests.reporting.markup_test import read

NAMES = ["data_lengths", "data_gaps", "data_growth", "data_coverage"]


def names(content):
  return [figure.name for figure in data_section(content).figures]


@pytest.mark.slow
def test_the_report_is_on_the_page():
  section = data_section(DATA_REPORT)
  assert [f.name for f in section.figures] == [*NAMES, "data_sessions"]
  text = read(section.body).text
  for part in (
      "4,399,629", "2019-12-18T23:59:59Z", "unreadable time", "map.parquet",
      "400001", "user_day",
  ):
    assert part in text, part


@pytest.mark.parametrize(
    ("path", "value", "lost"),
    [
        ("gaps", {"count": 0}, ["data_gaps"]),
        ("growth", [{"events": 3, "pairs": 2}], ["data_growth"]),
        ("splits", {}, ["data_lengths", "data_coverage"]),
        ("sessions", SessionStatistics(0).summary(), ["data_sessions"]),
        ("sessions", None, ["data_sessions"]),
    ],
)
def test_what_has_no_numbers_has_no_figure(path, value, lost):
  every = [*NAMES, "data_sessions"]
  content = changed(DATA_REPORT, path, json.loads(json.dumps(value)))
  assert names(content) == [name for name in every if name not in lost]


def test_what_the_report_writes_of_few_sequences_is_drawn():
  small = DATA_REPORT | {"gaps": {"count": 0}, "growth": [], "sessions": None}
  small = changed(small, "splits/train/coverage", [])
  del small["splits"]["test"]
  for lengths in ([3, 5, 9], [1], []):
    found = report.lengths(pl.Series(lengths, dtype=pl.Int64))
    content = changed(small, "splits/train/lengths", found)
    assert names(content) == ["data_lengths"] * bool(lengths)


def test_without_a_report_the_section_says_how_to_get_one():
  assert "experiments/prepare.py" in data_section(None).body
