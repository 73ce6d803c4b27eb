"""Tests for sessions on the page."""

from behavior_lm.reporting.sessions_part import sessions_part
from tests.artifacts.example_records import changed
from tests.reporting.example_run import DATA_REPORT
from tests.reporting.markup_test import read

SESSIONS = DATA_REPORT["sessions"]


def labels(figure):
  return [line.get_label() for line in figure.axes.get_lines()]


def test_the_learned_threshold_stands_in_its_place():
  page, (figure,) = sessions_part(SESSIONS)
  rows = [row.split("</td>") for row in page.split("<tr>")[2:]]
  cells = [[cell.rpartition(">")[2] for cell in row] for row in rows]
  assert [row[0].split(",")[0] for row in cells] == [
      "10 s", "30 s", "42.5 s", "60 s", "10 min", "30 min"
  ]
  assert cells[2][1:8] == ["110,000", "100.0", "29.0", "1", "7", "90", "400"]
  assert {"short", "long", "both"} <= set(labels(figure))


def test_without_a_learned_threshold_the_reason_is_given():
  content = changed(SESSIONS, "learned", None)
  content = changed(content, "at_learned", None)
  content = changed(content, "not_learned", "the gaps show one kind <of> pause")
  page, (figure,) = sessions_part(content)
  assert "the gaps show one kind <of> pause" in read(page).text
  assert labels(figure) == []


def test_a_report_without_sessions_has_no_such_part():
  assert sessions_part(None) == ("", [])
  assert sessions_part(changed(SESSIONS, "events", 0)) == ("", [])
