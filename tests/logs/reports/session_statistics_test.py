import json

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.data.sessions import session_starts
from behavior_lm.logs import sequences
from behavior_lm.logs.gap_mixture import Mixture
from behavior_lm.logs.reports.session_statistics import LADDER_SECONDS
from behavior_lm.logs.reports.session_statistics import SessionStatistics

SECOND = 1_000_000
# One sequence: its split and the gaps between its events.
SEQUENCES = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.lists(
            st.sampled_from(
                [0, 1, SECOND, 2 * SECOND, 31 * SECOND, 4_000 * SECOND, 10**12]
            ),
            max_size=12,
        ),
    ),
    max_size=8,
)


def make_block(parts):
  """A block of sequences, as the sorter makes it."""
  times, splits, sizes = [], [], []
  for number, (split, gaps) in enumerate(parts):
    time = 10**15 + number + np.cumsum([0, *gaps])
    times.append(time)
    splits.append(np.full(len(time), split, np.int8))
    sizes.append(len(time))
  size = sum(sizes)
  offsets = np.cumsum(sizes) - sizes if sizes else np.zeros(0, int)
  return sequences.Block(
      pair=np.zeros(size, np.int32),
      time=np.concatenate([np.zeros(0, np.int64), *times]),
      split=np.concatenate([np.zeros(0, np.int8), *splits]),
      table=pl.DataFrame({
          "split": np.array([split for split, _ in parts], np.int8),
          "offset": offsets.astype(np.int64),
          "num_events": np.array(sizes, np.int64),
      }),
      duplicates=0,
  )


def slow_lengths(parts, split, seconds):
  """Events of each session of a split, one sequence after the other."""
  lengths = []
  for code, gaps in parts:
    if code == split:
      starts = session_starts(
          np.cumsum([0, *gaps]), round(seconds * SECOND)
      )
      ends = np.append(np.flatnonzero(starts)[1:], len(starts))
      lengths += (ends - np.flatnonzero(starts)).tolist()
  return lengths


@pytest.mark.slow
@given(SEQUENCES, st.integers(1, 6), st.integers(0, 1))
def test_sessions_are_those_of_the_rule_however_blocks_are_cut(
    parts, size, split
):
  found = SessionStatistics(split)
  for part in sequences.parts(make_block(parts), size):
    found.add(part)
  summary = found.summary()
  chosen = [gaps for code, gaps in parts if code == split]
  assert summary["sequences"] == len(chosen)
  assert summary["events"] == sum(len(gaps) + 1 for gaps in chosen)
  for row in summary["by_threshold"]:
    lengths = slow_lengths(parts, split, row["seconds"])
    assert row["sessions"] == len(lengths)
    if lengths:
      assert row["mean"] == pytest.approx(np.mean(lengths))
      for name, value in row["quantiles"].items():
        quantile = float(name[1:]) / 100
        # The smallest length that this share of the sessions does not exceed.
        want = np.quantile(lengths, quantile, method="inverted_cdf")
        assert value == want


@pytest.mark.slow
@given(SEQUENCES, SEQUENCES)
def test_counts_of_two_partitions_add_up(first, second):
  both = SessionStatistics(0)
  merged = SessionStatistics(0)
  for parts in (first, second):
    block = make_block(parts)
    both.add(block)
    alone = SessionStatistics(0)
    alone.add(block)
    merged.absorb(alone.state())
  assert merged.summary() == both.summary()


def test_the_learned_threshold_comes_with_its_sessions():
  rng = np.random.default_rng(0)
  inside = np.exp(rng.normal(1.5, 0.8, (40, 500)))
  breaks = np.exp(rng.normal(7.5, 0.6, (40, 500)))
  seconds = np.where(rng.random((40, 500)) < 0.03, breaks, inside)
  gaps = np.round(seconds).astype(np.int64) * SECOND
  parts = [(0, row) for row in gaps]
  found = SessionStatistics(0)
  found.add(make_block(parts))
  summary = json.loads(json.dumps(found.summary()))
  assert summary["not_learned"] is None
  mixture = Mixture.from_json(summary["learned"])
  assert 60 < mixture.threshold_seconds < 400
  assert mixture.num_gaps == (gaps > 0).sum()
  at_learned = summary["at_learned"]
  lengths = slow_lengths(parts, 0, mixture.threshold_seconds)
  # Gaps are counted by three digits.
  assert at_learned["sessions"] == pytest.approx(len(lengths), rel=0.01)
  assert at_learned["mean"] == pytest.approx(np.mean(lengths), rel=0.01)
  near = at_learned["quantiles_at"]
  assert near in LADDER_SECONDS
  assert max(near, at_learned["seconds"]) < 1.5 * min(
      near, at_learned["seconds"]
  )
  assert at_learned["quantiles"]["p50"] == np.quantile(
      slow_lengths(parts, 0, near), 0.5, method="inverted_cdf"
  )
  bars = summary["histogram"]
  assert sum(bar["count"] for bar in bars) == mixture.num_gaps
  for bar, after in zip(bars, bars[1:], strict=False):
    assert bar["from"] < bar["to"] <= after["from"] * (1 + 1e-9)
  # A bar is a quarter wider than the last, or one second.
  wide = [bar["to"] - bar["from"] for bar in bars]
  assert min(wide) == pytest.approx(1)


def test_gaps_without_two_kinds_say_why_nothing_is_learned():
  found = SessionStatistics(0)
  found.add(make_block([(0, [7 * SECOND] * 500), (1, [SECOND] * 5)]))
  summary = found.summary()
  assert summary["learned"] is None and summary["at_learned"] is None
  assert "Give a fixed threshold instead" in summary["not_learned"]
  assert [bar["count"] for bar in summary["histogram"]] == [500]


def test_a_log_without_train_events_has_no_sessions():
  found = SessionStatistics(0)
  found.add(make_block([(1, [SECOND] * 5)]))
  summary = found.summary()
  assert summary["events"] == 0 and summary["histogram"] == []
  assert all(row["sessions"] == 0 for row in summary["by_threshold"])
