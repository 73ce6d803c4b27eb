import polars as pl
import pytest

from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.reports import report
from behavior_lm.reporting.data_record import parse_data_report
from tests.reporting.example_run import changed
from tests.reporting.example_run import DATA_REPORT


def test_times_are_shortened_for_reading():
  record = parse_data_report(DATA_REPORT)
  assert record.start == "2019-12-04 00:00:00"
  assert record.splits["test"].end == "2019-12-18 23:59:59"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("splits", None),
        ("splits/train/lengths", {}),
        ("splits/train/coverage", [{"pairs": 3}]),
        ("gaps/histogram", [{"from": 0, "count": 1}]),
        ("gaps/quantiles", [1, 2]),
        ("growth", [3]),
        ("top_events", [{"event_id": "a"}]),
        ("rejected", 4),
        ("sources", [{"name": "a"}]),
        ("rows", "many"),
    ],
)
def test_a_damaged_data_report_is_refused(path, value):
  with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
    parse_data_report(changed(DATA_REPORT, path, value))


def test_the_distributions_of_the_data_report_are_what_is_read():
  content = changed(
      DATA_REPORT, "splits/train/lengths", report.lengths(pl.Series([3, 5, 9]))
  )
  lengths = parse_data_report(content).splits["train"].lengths
  assert lengths.count == 3
  assert lengths.largest == 9
  assert [(bar.low, bar.high, bar.count) for bar in lengths.bins] == [
      (2, 4, 1), (4, 8, 1), (8, 16, 1)
  ]
  empty = changed(
      DATA_REPORT,
      "splits/train/lengths",
      report.lengths(pl.Series([], dtype=pl.Int64)),
  )
  assert parse_data_report(empty).splits["train"].lengths.count == 0


def test_reasons_of_the_quarantine_keep_their_order(tmp_path):
  rejected = quarantine.Quarantine(tmp_path / "quarantine.jsonl")
  rejected.add("a.csv", 1, quarantine.NO_USER, "")
  rejected.close()
  content = changed(DATA_REPORT, "rejected/by_reason", rejected.counts)
  record = parse_data_report(content)
  assert record.rejected_by_reason == {quarantine.NO_USER: 1}
