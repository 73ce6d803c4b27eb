"""Counts of histories, beside counting by hand."""

import collections

import numpy as np
import pytest

from behavior_lm.baselines import history_counts

SECOND = history_counts.SECOND


def build(histories, num=6, **options):
  builder = history_counts.Builder(num, **options)
  for events in histories:
    times = 10**15 + np.arange(len(events)) * 2 * SECOND
    builder.add(
        np.asarray(events, int), times, 10**15 + 10**9,
        {"level": np.asarray(events, float)},
    )
  return builder.build()


def test_counts_and_bigrams_are_those_of_a_loop():
  rng = np.random.default_rng(0)
  histories = [rng.integers(0, 6, rng.integers(1, 30)) for _ in range(12)]
  found = build(histories)
  kinds = sorted({
      pair for h in histories for pair in zip(h[:-1], h[1:], strict=True)
  })
  assert found.bigrams.shape == (12, len(kinds))
  for row, history in enumerate(histories):
    counts = np.bincount(history, minlength=6)
    np.testing.assert_array_equal(found.counts[[row]].toarray()[0], counts)
    pairs = collections.Counter(zip(history[:-1], history[1:], strict=True))
    np.testing.assert_array_equal(
        found.bigrams[[row]].toarray()[0], [pairs[kind] for kind in kinds]
    )


def test_first_occurrences_are_times_since_the_first_event():
  found = build([[3, 1, 3]])
  first = found.first_seen.toarray()[0]
  assert first[3] == 1
  assert first[1] == pytest.approx(1 + np.log1p(2))
  assert first[0] == 0  # Never.


def test_an_empty_history_is_a_row_of_zeros():
  found = build([[1, 2], []], extras=("level",))
  assert found.num_events.tolist() == [2, 0]
  assert found.counts[[1]].sum() == 0
  assert found.extra_names == ("level mean", "level maximum", "level last")
  np.testing.assert_array_equal(found.extras, [[1.5, 2, 2], [-1, -1, -1]])
  with pytest.raises(ValueError, match="no history"):
    history_counts.Builder(3).build()


def test_columns_that_only_tested_rows_hold_are_out():
  found = build([[0, 0, 0], [0, 1], [2, 2]])
  chosen = history_counts.frequent(found.counts, np.array([0, 1]), 10)
  assert chosen.tolist() == [0, 1]
  # The column that most rows hold, not the one with the largest count.
  found = build([[0, 0, 0, 0, 1], [1], [1]])
  chosen = history_counts.frequent(found.counts, np.arange(3), 1)
  assert chosen.tolist() == [1]
