from behavior_lm.reporting.data_record import parse_data_report
from behavior_lm.reporting.data_section import data_section
from behavior_lm.reporting.session_part import sessions_part
from behavior_lm.reporting.session_record import parse_sessions
from tests.reporting.example_run import changed
from tests.reporting.example_run import DATA_REPORT
from tests.reporting.markup_test import read

SESSIONS = DATA_REPORT["sessions"]


def test_the_learned_threshold_and_its_two_kinds_are_told():
  page, figures = sessions_part(parse_sessions(SESSIONS))
  text = read(page).text
  assert "a pause of more than 42.5 s ends a session" in text
  assert "90.0 % are short (median 2.72 s)" in text
  assert "10.0 % long (median 148 s)" in text
  (figure,) = figures
  assert figure.name == "data_sessions" and figure.svg in page
  assert "where they cross, at 42.5 s" in figure.caption
  for label in ("short", "long", "both", "1 s", "1 min", "1 h"):
    assert f">{label}<" in figure.svg, label


def test_the_table_has_the_learned_threshold_in_its_place():
  page, _ = sessions_part(parse_sessions(SESSIONS))
  rows = [row.split("</td>") for row in page.split("<tr>")[2:]]
  cells = [[cell.rpartition(">")[2] for cell in row] for row in rows]
  assert [row[0] for row in cells] == [
      "10 s", "30 s", "42.5 s, learned (p5 to p99: of 45 s)", "60 s",
      "10 min", "30 min",
  ]
  assert cells[2][1:8] == ["110,000", "100.0", "29.0", "1", "7", "90", "400"]
  assert cells[0][1:5] == ["330,000", "300.0", "9.7", "1"]


def test_without_a_learned_threshold_the_reason_is_told():
  content = changed(SESSIONS, "learned", None)
  content = changed(content, "at_learned", None)
  content = changed(content, "not_learned", "the gaps show one kind <of> pause")
  page, (figure,) = sessions_part(parse_sessions(content))
  assert "No threshold was learned: the gaps show one kind" in read(page).text
  assert "<of>" not in page
  assert ">short<" not in figure.svg and "cross" not in figure.caption


def test_a_report_without_sessions_has_no_such_part():
  older = dict(DATA_REPORT)
  del older["sessions"]
  assert sessions_part(None) == ("", [])
  section = data_section(parse_data_report(older))
  assert "Sessions" not in section.body
  whole = data_section(parse_data_report(DATA_REPORT))
  assert "<h3>Sessions</h3>" in whole.body
  assert len(whole.figures) == len(section.figures) + 1
  empty = parse_sessions(changed(SESSIONS, "events", 0))
  assert sessions_part(empty) == ("", [])
