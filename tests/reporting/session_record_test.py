import json

import numpy as np
import pytest

from behavior_lm.logs.reports.session_statistics import SessionStatistics
from behavior_lm.reporting.data_record import parse_data_report
from behavior_lm.reporting.session_record import parse_sessions
from tests.reporting.example_run import changed
from tests.reporting.example_run import DATA_REPORT

SESSIONS = DATA_REPORT["sessions"]


def test_what_the_report_holds_is_what_is_read():
  record = parse_sessions(json.loads(json.dumps(SESSIONS)))
  assert record.learned.threshold_seconds == 42.5
  assert record.at_learned.sessions == 110_000
  assert record.quantiles_at == 45
  assert [row.seconds for row in record.by_threshold][:3] == [1, 10, 30]
  assert record.bars[1].low == 1 and record.bars[1].high == 2
  assert sum(bar.count for bar in record.bars) == sum(
      row["count"] for row in SESSIONS["histogram"]
  )


def test_sessions_of_a_log_without_events_are_read():
  content = json.loads(json.dumps(SessionStatistics(0).summary()))
  record = parse_sessions(content)
  assert record.learned is None and "too few" in record.not_learned
  assert record.bars == () and record.at_learned is None
  assert all(np.isfinite(row.mean) for row in record.by_threshold)


def test_an_older_data_report_has_no_sessions():
  older = dict(DATA_REPORT)
  del older["sessions"]
  assert parse_data_report(older).sessions is None
  assert parse_data_report(DATA_REPORT).sessions is not None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("learned", {"weights": [1, 2]}),
        ("learned", 4),
        ("at_learned", {"seconds": 3}),
        ("by_threshold", [{"seconds": 1}]),
        ("histogram", [{"from": 1}]),
        ("events", "many"),
        ("by_threshold", None),
    ],
)
def test_damaged_sessions_are_refused(path, value):
  with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
    parse_sessions(changed(SESSIONS, path, value))
