"""Sessions of a log, counted while its blocks stream by, in constant memory.

Which threshold the gaps suggest is known only after the last of them. So the
lengths of sessions are counted for a ladder of thresholds at once; the number
of sessions at any other follows from the histogram of gaps.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.logs import gap_mixture
from behavior_lm.logs import sequences
from behavior_lm.logs.reports import gap_bins

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
LADDER_SECONDS = (
    1, 2, 3, 5, 7, 10, 15, 20, 30, 45,
    *(_MINUTE * n for n in (1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 45)),
    *(_HOUR * n for n in (1, 1.5, 2, 3, 5, 8, 12)), _DAY,
)  # fmt: skip
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
# Bars of the histogram of gaps are this much wider than the one before.
_GROWTH = 1.25
# Longer than any gap: the first event of a sequence starts a session.
_LONGEST = np.iinfo(np.int64).max


class SessionStatistics:
  """Counts gaps and sessions inside the sequences of one split.

  Args:
    split: its code; the others' events say nothing about the threshold, or
      it would know the test days.
  """

  def __init__(self, split: int) -> None:
    self._split = split
    self._thresholds = [round(n * 1_000_000) for n in LADDER_SECONDS]
    self._gaps = np.zeros(gap_bins.NUM_BINS, np.int64)
    self._lengths = np.zeros(
        (len(LADDER_SECONDS), gap_bins.NUM_LENGTH_BINS), np.int64
    )
    # Events of the last session so far: the next block may continue it.
    self._open = np.zeros(len(LADDER_SECONDS), np.int64)
    self._sequences = self._events = 0

  def add(self, block: sequences.Block) -> None:
    """Counts a block; one that continues a sequence follows its beginning."""
    chosen = block.split == self._split
    size = int(chosen.sum())
    if not size:
      return
    first = np.zeros(len(block.time), bool)
    first[block.table["offset"].to_numpy()] = True
    # Without an event before it, the first one is the first of a sequence.
    start = block.time[0] if block.before is None else block.before
    gaps = np.diff(block.time, prepend=start)[chosen]
    first = first[chosen]
    self._events += size
    self._sequences += int(first.sum())
    inside = gap_bins.to_bin(gaps[~first])
    self._gaps += np.bincount(inside, minlength=len(self._gaps))
    gaps[first] = _LONGEST
    place = np.arange(size)
    # Ascending thresholds: what starts a session at one of them is among what
    # starts one at the one before.
    for step, threshold in enumerate(self._thresholds):
      starts = gaps > threshold
      place, gaps = place[starts], gaps[starts]
      if not len(place):
        self._open[step] += size
        continue
      self._close(step, np.append(np.diff(place), self._open[step] + place[0]))
      self._open[step] = size - place[-1]

  def _close(self, step: int, lengths: np.ndarray) -> None:
    lengths = np.minimum(lengths[lengths > 0], gap_bins.MAX_LENGTH)
    self._lengths[step] += np.bincount(
        gap_bins.to_bin(lengths), minlength=gap_bins.NUM_LENGTH_BINS
    )

  def _flush(self) -> None:
    for step in range(len(self._thresholds)):
      self._close(step, self._open[step : step + 1])
    self._open[:] = 0

  def state(self) -> dict[str, np.ndarray]:
    """All counts, without the zeros; the last sequence has ended."""
    self._flush()
    gaps, lengths = np.flatnonzero(self._gaps), np.flatnonzero(self._lengths)
    return {
        "session_scalars": np.array([self._sequences, self._events]),
        "session_gap_bins": gaps,
        "session_gap_counts": self._gaps[gaps],
        "session_length_bins": lengths,
        "session_length_counts": self._lengths.ravel()[lengths],
    }

  def absorb(self, state: Mapping[str, np.ndarray]) -> None:
    """Adds the counts of other sequences."""
    self._flush()
    number, events = state["session_scalars"].tolist()
    self._sequences += number
    self._events += events
    self._gaps[state["session_gap_bins"]] += state["session_gap_counts"]
    flat = self._lengths.reshape(-1)
    flat[state["session_length_bins"]] += state["session_length_counts"]

  def summary(self) -> dict[str, Any]:
    """The content of report["sessions"].

    `learned` is the mixture or null, and `not_learned` says why then. The
    quantiles at the learned threshold are those of the nearest threshold of
    the ladder, `quantiles_at`.
    """
    self._flush()
    used = np.flatnonzero(self._gaps)
    gaps = gap_bins.from_bin(used).astype(np.int64)
    counts = self._gaps[used]
    by_threshold = [
        {
            "seconds": seconds,
            "sessions": int(self._lengths[step].sum()),
            **self._describe(step),
        }
        for step, seconds in enumerate(LADDER_SECONDS)
    ]
    found: dict[str, Any] = {
        "sequences": self._sequences,
        "events": self._events,
        "learned": None,
        "not_learned": None,
        "at_learned": None,
        "by_threshold": by_threshold,
        "histogram": _histogram(gaps, counts),
    }
    try:
      mixture = gap_mixture.fit_mixture(gaps, counts)
    except UserError as error:
      found["not_learned"] = str(error)
      return found
    threshold = mixture.threshold_seconds
    number = self._sequences + int(counts[gaps > threshold * 1e6].sum())
    nearest = int(
        np.argmin(np.abs(np.log(np.array(LADDER_SECONDS) / threshold)))
    )
    found["learned"] = mixture.to_json()
    found["at_learned"] = {
        "seconds": threshold,
        "sessions": number,
        "mean": self._events / number,
        "quantiles_at": LADDER_SECONDS[nearest],
        "quantiles": by_threshold[nearest]["quantiles"],
    }
    return found

  def _describe(self, step: int) -> dict[str, Any]:
    counts = self._lengths[step]
    total = int(counts.sum())
    if not total:
      return {"mean": 0.0, "quantiles": {}}
    upto = np.cumsum(counts)
    places = np.searchsorted(upto, np.array(_QUANTILES) * total)
    values = gap_bins.from_bin(places)
    return {
        "mean": self._events / total,
        "quantiles": {
            f"p{round(100 * quantile)}": int(value)
            for quantile, value in zip(_QUANTILES, values, strict=True)
        },
    }


def _histogram(gaps: np.ndarray, counts: np.ndarray) -> list[dict[str, Any]]:
  """Gaps above 0 in bars of about equal width on a logarithmic axis."""
  counts, gaps = counts[gaps > 0], gaps[gaps > 0]
  if not len(gaps):
    return []
  tick = gap_mixture.clock_tick(gaps, counts)
  low, high, inside = gap_mixture.bins(gaps, counts, tick, _GROWTH)
  return [
      {"from": float(start), "to": float(end), "count": int(count)}
      for start, end, count in zip(
          np.exp(low), np.exp(high), inside, strict=True
      )
  ]
