import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.logs.reports import report
from behavior_lm.logs.reports import report_text
from tests.logs.support import log_files

_DAY = 86_400


@pytest.fixture(scope="module")
def log(tmp_path_factory):
  """A log whose numbers can be worked out by hand, and its report."""
  folder = tmp_path_factory.mktemp("log")
  rows = [("a", f"e{n % 4}", None, 10.0 * n) for n in range(8)]
  rows += [("b", "e0", "x", 0.0), ("b", "e0", "x", 0.0), ("b", "e0", "x", 5.5)]
  rows += [("a", "new", None, 2.0 * _DAY), ("a", "e0", None, 2.0 * _DAY + 1)]
  log_files.event_frame(rows).write_parquet(folder / "log.parquet")
  found = log_files.prepare(
      folder / "log.parquet", folder / "out", split_time="2024-03-05"
  )
  return found, folder / "out"


def test_totals(log):
  found, _ = log
  assert found["rows"] == found["num_events"] == 13
  assert found["num_users"] == 2 and found["num_pairs"] == 6
  assert found["start"] == "2024-03-04T00:00:00Z"
  assert found["end"] == "2024-03-06T00:00:01Z"
  assert found["unit"] == "user_day"
  assert found["times"] == {
      "zone": "UTC", "read_as": ["with an offset"], "ordinal": False,
  }  # fmt: skip
  assert found["sources"][0]["rows"] == 13


def test_each_split_is_counted_apart(log):
  train, test = (log[0]["splits"][name] for name in ("train", "test"))
  assert (train["num_sequences"], train["num_events"]) == (2, 11)
  assert (test["num_sequences"], test["num_events"]) == (1, 2)
  assert (train["num_users"], test["num_users"]) == (2, 1)
  assert train["start"] == "2024-03-04T00:00:00Z"
  assert test["start"] == "2024-03-06T00:00:00Z"
  assert test["pairs_not_in_train"] == 1
  assert test["events_not_in_train_share"] == 0.5
  assert train["lengths"]["max"] == 8 and train["lengths"]["min"] == 3
  assert train["lengths"]["mean"] == 5.5
  assert train["lengths"]["histogram"] == [
      {"from": 2, "to": 4, "count": 1},
      {"from": 4, "to": 8, "count": 0},
      {"from": 8, "to": 16, "count": 1},
  ]


def test_coverage_counts_train_pairs_alone(log):
  train, test = (log[0]["splits"][name] for name in ("train", "test"))
  assert [row["pairs"] for row in train["coverage"]] == [
      1_000, 2_000, 5_000, 7_000, 20_000, 50_000,
  ]
  assert {row["share"] for row in train["coverage"]} == {1.0}
  assert {row["share"] for row in test["coverage"]} == {0.5}


def test_gaps_are_inside_of_sequences(log):
  gaps = log[0]["gaps"]
  # 7 of 10 s in a's first day, 0 and 5.5 in b's, 1 in a's later day.
  assert gaps["count"] == 10
  assert gaps["mean"] == pytest.approx((70 + 0 + 5.5 + 1) / 10)
  assert gaps["zero_share"] == 0.1
  assert gaps["quantiles"]["p50"] == 10.0 and gaps["quantiles"]["p5"] == 0.0
  counts = {bin_["from"]: bin_["count"] for bin_ in gaps["histogram"]}
  assert {k: v for k, v in counts.items() if v} == {
      0.0: 1, 1.0: 1, 5.0: 1, 10.0: 7,
  }


def test_sessions_are_those_of_train(log):
  sessions = log[0]["sessions"]
  assert (sessions["sequences"], sessions["events"]) == (2, 11)
  rows = {row["seconds"]: row for row in sessions["by_threshold"]}
  # a: 8 events 10 s apart; b: 0, 0 and 5.5 s.
  assert rows[7]["sessions"] == 9 and rows[5]["sessions"] == 10
  assert rows[10]["sessions"] == 2
  assert rows[10]["mean"] == 5.5 and rows[10]["quantiles"]["p5"] == 3
  assert "only 8 gaps are above 0" in sessions["not_learned"]


def test_a_learned_threshold_is_in_the_page(tmp_path):
  gaps = [2.0, 3.0, 5.0, 4.0, 2.0, 7.0, 3.0, 900.0 + 7 * math.pi] * 60
  times = [sum(gaps[:n]) * (1 + n / 1e5) for n in range(len(gaps))]
  rows = [("a", f"e{n % 4}", None, time) for n, time in enumerate(times)]
  log_files.event_frame(rows).write_parquet(tmp_path / "log.parquet")
  found = log_files.prepare(
      tmp_path / "log.parquet", tmp_path / "out", unit="user"
  )
  sessions = found["sessions"]
  assert sessions["not_learned"] is None
  # The long ones end a session: 60 of them but the last, which nothing ends.
  assert sessions["at_learned"]["sessions"] == 60
  page = (tmp_path / "out" / "report.md").read_text()
  threshold = sessions["learned"]["threshold_seconds"]
  assert 7 < threshold < 900
  assert f"Over {threshold:,.3g} s a gap is more likely a long one" in page
  assert "60 sessions with 8.0 events each" in page


def test_top_events_join_their_designs_and_count_train_alone(log):
  assert log[0]["top_events"][0] == {
      "event_id": "e0",
      "count": 5,
      "share": 5 / 11,
      "designs": 2,
  }
  assert "new" not in [row["event_id"] for row in log[0]["top_events"]]


def test_the_page_and_the_screen_show_the_numbers(log):
  found, out = log
  page = (out / "report.md").read_text()
  assert page == report_text.to_markdown(found)
  for word in (
      "| train | 2 | 11 | 2 | 5 | 0 |", "`e0`", "50.000%", "None.",
      "No threshold was learned: only 8 gaps", "| 10 s | 2 | 5.5 | 3 |",
  ):
    assert word in page
  screen = report_text.to_screen(found)
  assert screen.splitlines() == [
      "train: 2 sequences, 11 events, 2 users; 7,000 most frequent train pairs"
      " cover 100.00%",
      "test: 1 sequences, 2 events, 1 users; 7,000 most frequent train pairs"
      " cover 50.00%",
      "6 distinct (event, design) pairs; times are with an offset",
      "rejected: 0 of 13 rows",
  ]


def test_rejected_rows_are_counted_by_reason(tmp_path):
  rows = log_files.good_rows(500) + [",e,d,2024-03-04", "u,e,d,never"]
  log_files.write_csv(tmp_path / "log.csv", rows + ["u,e,d,soon"])
  found = log_files.prepare(tmp_path / "log.csv", tmp_path / "out")
  assert found["rejected"] == {
      "rows": 3,
      "by_reason": {"unreadable time": 2, "no user": 1},
  }
  assert "| unreadable time | 2 |" in report_text.to_markdown(found)
  assert report_text.to_screen(found).endswith(
      "rejected: 3 of 503 rows (2 unreadable time, 1 no user; see"
      " quarantine.jsonl)"
  )


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=20), min_size=1, max_size=4)
)
def test_growth_counts_distinct_pairs_so_far(blocks):
  statistics = report.Statistics(10)
  for pairs in blocks:
    statistics._grow(np.array(pairs, np.int64))
  events = [pair for pairs in blocks for pair in pairs]
  assert statistics.growth() == [
      {"events": len(events), "pairs": len(set(events))}
  ]
  firsts = sorted(events.index(pair) for pair in set(events))
  seen = statistics._first_seen
  assert sorted(seen[seen >= 0].tolist()) == firsts


def test_growth_has_a_point_for_each_power_of_ten():
  statistics = report.Statistics(3_000)
  statistics._grow(np.arange(12_000) % 3_000)
  assert statistics.growth() == [
      {"events": 1_000, "pairs": 1_000},
      {"events": 10_000, "pairs": 3_000},
      {"events": 12_000, "pairs": 3_000},
  ]


def test_coverage_by_hand():
  train, counts = np.array([5, 0, 9, 1]), np.array([10, 60, 20, 10])
  assert report.coverage(train, counts, [1, 2, 3, 100]) == [
      {"pairs": 1, "share": 0.2},
      {"pairs": 2, "share": 0.3},
      {"pairs": 3, "share": 0.4},
      {"pairs": 100, "share": 0.4},
  ]


def test_lengths_of_nothing_are_no_error():
  assert report.lengths(pl.Series([], dtype=pl.Int64)) == {"count": 0}


def test_a_log_of_single_events_has_no_gaps(tmp_path):
  log_files.event_frame([("a", "e", None, 0)]).write_parquet(
      tmp_path / "log.parquet"
  )
  found = log_files.prepare(tmp_path / "log.parquet", tmp_path / "out")
  assert found["gaps"] == {"count": 0}
  assert "No sequence has two events." in report_text.to_markdown(found)
