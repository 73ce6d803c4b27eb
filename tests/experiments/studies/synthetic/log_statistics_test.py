"""Statistics of a log small enough to count by hand."""

import datetime

import polars as pl
import pytest

from behavior_lm.logs import schema
from experiments.studies.synthetic import log_statistics

START = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


def log(rows):
  """Rows of (user, event, design, day, second)."""
  return pl.DataFrame(
      [
          {
              schema.USER_ID: user,
              schema.EVENT_ID: event,
              schema.DESIGN_ID: design,
              schema.TIMESTAMP: START
              + datetime.timedelta(days=day, seconds=second),
          }
          for user, event, design, day, second in rows
      ],
      schema=schema.EVENT_SCHEMA,
  )


@pytest.fixture(scope="module")
def small():
  return log_statistics.log_statistics(
      log([
          ("b", "2", "0", 0, 5),
          ("a", "1", "0", 0, 0),
          ("a", "1", "0", 0, 0),
          ("a", "1", "x", 0, 20),
          ("a", "1", "0", 1, 0),
          ("a", "2", "0", 1, 5),
      ]),
      test_days=1,
      vocab_size=2,
  )


def test_days_gaps_and_pairs_are_counted(small):
  # User-days of 3, 1 and 2 events; gaps of 0, 20 and 5 s, none over midnight.
  assert small["events a user-day, mean"] == 2
  assert small["events a user-day, p50"] == 2
  assert small["distinct pairs a user-day, mean"] == pytest.approx(5 / 3)
  assert small["gaps of 0 s, share"] == pytest.approx(1 / 3)
  assert small["gaps up to 10 s, share"] == pytest.approx(2 / 3)
  assert small["gap in s, p50"] == 5
  assert small["events without a design, share"] == pytest.approx(5 / 6)
  assert small["share of the 1 most frequent pairs"] == pytest.approx(3 / 6)
  assert "distinct pairs after 10,000 events" not in small
  assert small["distinct pairs, all events"] == 3


def test_ngrams_are_trained_on_the_days_before(small):
  # Train: (1, 0) twice, (1, x), (2, 0). Ties of frequency keep the lower id,
  # so (1, 0) and (1, x) are known and (2, 0) is UNK. Test: (1, 0), UNK.
  assert small["test events in a vocabulary of 2, share"] == 0.5
  # Witten-Bell: (c + T / V) / (n + T) with n = 4, T = 3, V = 3.
  assert small["1-gram perplexity"] == pytest.approx(
      ((3 / 7) * (2 / 7)) ** -0.5
  )


def test_the_order_of_users_in_the_log_does_not_matter():
  rows = [
      (user, str((day * day + n) % 3), "0", day, n)
      for day in range(3)
      for n in range(6)
      for user in ("a", "b")
  ]
  one = log_statistics.log_statistics(log(rows), test_days=1)
  two = log_statistics.log_statistics(log(rows[::-1]), test_days=1)
  other = log_statistics.log_statistics(
      log(sorted(rows, key=lambda row: row[0], reverse=True)), test_days=1
  )
  assert one == other
  assert one == two


def test_a_log_without_train_days_is_refused():
  with pytest.raises(ValueError, match="1 days of logs leave none"):
    log_statistics.log_statistics(log([("a", "1", "0", 0, 0)] * 3))


def test_compression_is_learnt_on_the_days_before_and_within_sessions():
  # On every day 1 2 1 2 ... and, after a long gap, once more; the pairs of the
  # last day alone are UNK.
  rows = [
      ("a", str(1 + n % 2), "x" if day == 3 and n > 90 else "0", day, n + gap)
      for day in range(4)
      for gap, numbers in ((0, range(50)), (301, range(50, 100)))
      for n in numbers
  ]
  got = log_statistics.log_statistics(log(rows), test_days=1, bpe_sizes=(9,))
  name = "BPE of 9, events a token of the test days"
  # 9 pieces: <unk>, 1, 2, and runs of 2, 4, 8, 16, ... of them.
  assert got[name] > 5
  alone = [(*row[:4], 400 * row[4]) for row in rows if row[4] < 100]
  apart = log_statistics.log_statistics(
      log(alone), test_days=1, bpe_sizes=(9,)
  )
  assert apart[name] == 1.0


def test_rows_of_a_comparison_hold_the_ratio_and_what_is_near():
  real = {"x": 4.0, "y": 4.0, "z": 4.0, "zero": 0.0, "both": 0.0, "gone": 1.0}
  rows = log_statistics.compare(
      real, {"x": 2.0, "y": 5.0, "z": 3.0, "zero": 1.0, "both": 0.0}
  )
  assert rows[0] == {
      "statistic": "x", "real": 4.0, "other": 2.0, "ratio": 0.5, "near": False
  }  # fmt: skip
  assert [row["ratio"] for row in rows] == [0.5, 1.25, 0.75, None, None]
  assert [row["near"] for row in rows] == [False, True, True, False, True]
