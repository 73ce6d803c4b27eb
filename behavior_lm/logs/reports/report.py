"""The data report: what is in a dataset, in numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.logs import sequences
from behavior_lm.logs import splits
from behavior_lm.logs.readers import quarantine
from behavior_lm.logs.readers import timestamps
from behavior_lm.logs.reports import gap_bins
from behavior_lm.logs.reports import session_statistics

COVERAGE_SIZES = (1_000, 2_000, 5_000, 7_000, 20_000, 50_000)
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
_TOP_EVENTS = 20
# Edges of the histogram of gaps in seconds: 1, 2, 5, 10, ...
_GAP_EDGES = [
    digit * 10.0**power for power in range(-6, 13) for digit in (1, 2, 5)
]
_TRAIN = splits.SPLITS.index(splits.TRAIN)


class Statistics:
  """Counts over the events, one block after the other.

  Args:
    num_pairs: number of distinct pairs.

  Attributes:
    pair_counts: [splits, num_pairs] int64, occurrences in each split.
    duplicates: rows equal to an earlier one.
    sessions: of train.
  """

  def __init__(self, num_pairs: int):
    self.sessions = session_statistics.SessionStatistics(_TRAIN)
    self.pair_counts = np.zeros((len(splits.SPLITS), num_pairs), np.int64)
    self.duplicates = 0
    # Which event of train showed a pair first; -1 is never.
    self._first_seen = np.full(num_pairs, -1, np.int64)
    self._gap_counts = np.zeros(gap_bins.NUM_BINS, np.int64)
    self._train_events = 0

  def add(self, block: sequences.Block) -> None:
    """Counts the events of one partition."""
    self.duplicates += block.duplicates
    num_pairs = self.pair_counts.shape[1]
    for code in np.unique(block.split):
      pairs = block.pair[block.split == code]
      self.pair_counts[code] += np.bincount(pairs, minlength=num_pairs)
      if code == _TRAIN:
        self._grow(pairs)
    self.sessions.add(block)
    if len(block.time):
      time, lead = block.time, 0
      if block.before is not None:
        time, lead = np.append(np.int64(block.before), time), 1
      inside = np.ones(len(time), bool)
      inside[block.table["offset"].to_numpy() + lead] = False
      gaps = np.diff(time)[inside[1:]]
      bins = gap_bins.to_bin(gaps)
      self._gap_counts += np.bincount(bins, minlength=len(self._gap_counts))

  def state(self) -> dict[str, np.ndarray]:
    """All counts, without the zeros; `absorb` takes them elsewhere."""
    found = {
        "scalars": np.array([self.duplicates, self._train_events]),
        "first_pairs": np.flatnonzero(self._first_seen >= 0),
        "gap_bins": np.flatnonzero(self._gap_counts),
    }
    found["first_seen"] = self._first_seen[found["first_pairs"]]
    found["gap_counts"] = self._gap_counts[found["gap_bins"]]
    for code, counts in enumerate(self.pair_counts):
      found[f"pairs_{code}"] = np.flatnonzero(counts)
      found[f"counts_{code}"] = counts[found[f"pairs_{code}"]]
    return found | self.sessions.state()

  def absorb(self, state: Mapping[str, np.ndarray]) -> None:
    """Adds the counts of the blocks that come behind those counted so far."""
    duplicates, train_events = state["scalars"].tolist()
    self.duplicates += duplicates
    for code, counts in enumerate(self.pair_counts):
      counts[state[f"pairs_{code}"]] += state[f"counts_{code}"]
    first = state["first_pairs"]
    new = self._first_seen[first] < 0
    self._first_seen[first[new]] = (
        state["first_seen"][new] + self._train_events
    )
    self._train_events += train_events
    self._gap_counts[state["gap_bins"]] += state["gap_counts"]
    self.sessions.absorb(state)

  def _grow(self, pairs: np.ndarray) -> None:
    places = np.flatnonzero(self._first_seen[pairs] < 0)[::-1]
    # Backwards, so that the first of equal pairs is written last and stays.
    self._first_seen[pairs[places]] = self._train_events + places
    self._train_events += len(pairs)

  def growth(self) -> list[dict[str, int]]:
    """Distinct pairs after the first 1,000, 10,000, ... events of train."""
    first = np.sort(self._first_seen[self._first_seen >= 0])
    steps, step = [], 1_000
    while step < self._train_events:
      steps.append(step)
      step *= 10
    return [
        {"events": size, "pairs": int(np.searchsorted(first, size))}
        for size in [*steps, self._train_events]
    ]

  def gaps(self) -> dict[str, Any]:
    """Distribution of the time between neighbours in a sequence, seconds."""
    counts, total = self._gap_counts, int(self._gap_counts.sum())
    if not total:
      return {"count": 0}
    seconds = gap_bins.from_bin(np.arange(len(counts))) / 1e6
    upto = np.cumsum(counts)
    quantiles = {
        _percent(q): float(seconds[np.searchsorted(upto, q * total)])
        for q in _QUANTILES
    }
    edges = [0.0, *_GAP_EDGES]
    place = np.searchsorted(edges, seconds * (1 + 1e-9), side="right") - 1
    histogram = np.bincount(place, counts, minlength=len(edges))
    return {
        "count": total,
        "mean": float((seconds * counts).sum() / total),
        "zero_share": float(counts[0] / total),
        "quantiles": quantiles,
        "histogram": _trim([
            {"from": low, "to": high, "count": int(count)}
            for low, high, count in zip(
                edges, [*edges[1:], None], histogram, strict=True
            )
        ]),
    }


def lengths(num_events: pl.Series) -> dict[str, Any]:
  """Distribution of the number of events a sequence."""
  if not len(num_events):
    return {"count": 0}
  edges = [2**power for power in range(40)]
  values = num_events.to_numpy()
  histogram = np.bincount(
      np.searchsorted(edges, values, side="right") - 1, minlength=len(edges)
  )
  return {
      "count": len(values),
      "mean": float(values.mean()),
      "min": int(values.min()),
      "max": int(values.max()),
      "quantiles": {
          _percent(q): float(np.quantile(values, q)) for q in _QUANTILES
      },
      "histogram": _trim([
          {"from": low, "to": 2 * low, "count": int(count)}
          for low, count in zip(edges, histogram, strict=True)
      ]),
  }


def coverage(
    train_count: np.ndarray, counts: np.ndarray, sizes: Sequence[int]
) -> list[dict[str, Any]]:
  """Share of events whose pair is among the most frequent ones of train.

  Args:
    train_count: [num_pairs] occurrences in train; ties go to the lower code.
    counts: [num_pairs] occurrences in the split to cover.
    sizes: numbers of most frequent pairs.
  """
  order = np.argsort(-train_count, kind="stable")
  order = order[train_count[order] > 0]
  covered = np.cumsum(counts[order])
  total = max(int(counts.sum()), 1)
  return [
      {
          "pairs": size,
          "share": float(covered[min(size, len(order)) - 1] / total)
          if len(order)
          else 0.0,
      }
      for size in sizes
  ]


def top_events(
    pairs: pl.DataFrame, train_count: np.ndarray
) -> list[dict[str, Any]]:
  """The most frequent events of train, all designs together."""
  total = max(int(train_count.sum()), 1)
  ranked = (
      pairs.select("event_id", count=pl.Series(train_count))
      .group_by("event_id")
      .agg(pl.col("count").sum(), pl.len().alias("designs"))
      .filter(pl.col("count") > 0)
      .sort(["count", "event_id"], descending=[True, False])
      .head(_TOP_EVENTS)
  )
  return [
      {
          "event_id": event,
          "count": count,
          "share": count / total,
          "designs": designs,
      }
      for event, count, designs in ranked.iter_rows()
  ]


def split_report(
    table: pl.DataFrame,
    name: str,
    pairs: pl.DataFrame,
    statistics: Statistics,
) -> dict[str, Any]:
  """Everything about one split."""
  rows = table.filter(pl.col("split") == name)
  counts = statistics.pair_counts[splits.SPLITS.index(name)]
  train_count = statistics.pair_counts[_TRAIN]
  unseen = (train_count == 0) & (counts > 0)
  total = int(counts.sum())
  return {
      "num_sequences": rows.height,
      "num_events": total,
      "num_users": rows["user_id"].n_unique(),
      "start": _iso(rows["start"].min()),
      "end": _iso(rows["end"].max()),
      "lengths": lengths(rows["num_events"]),
      "num_pairs": int((counts > 0).sum()),
      "coverage": coverage(train_count, counts, COVERAGE_SIZES),
      "pairs_not_in_train": int(unseen.sum()),
      "events_not_in_train_share": float(counts[unseen].sum() / max(total, 1)),
  }


def _percent(quantile: float) -> str:
  return f"p{round(100 * quantile)}"


def _trim(histogram: list[dict[str, Any]]) -> list[dict[str, Any]]:
  """Drops empty bins at both ends."""
  used = [place for place, bin_ in enumerate(histogram) if bin_["count"]]
  return histogram[used[0] : used[-1] + 1]


def _iso(moment: Any) -> str | None:
  return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _left_out(table: pl.DataFrame) -> dict[str, int]:
  """How many users have too few events for valid and test."""
  totals = table.group_by("user_id").agg(pl.col("num_events").sum())
  short = totals.filter(pl.col("num_events") < splits.LEAST_EVENTS)
  return {"short_users": short.height, "least_events": splits.LEAST_EVENTS}


def summarise(
    *,
    table: pl.DataFrame,
    pairs: pl.DataFrame,
    statistics: Statistics,
    settings: dict[str, Any],
    rows: int,
    rejected: quarantine.Quarantine,
    time_kinds: dict[str, str],
) -> dict[str, Any]:
  """The content of report.json.

  Args:
    table: as `sequences.number_sequences` returns it.
    pairs: event_id and design_id of each pair code.
    statistics: of all blocks.
    settings: unit, timezone, drop_duplicates, leave_one_out and sources are
      used.
    rows: number of rows read.
    rejected: what was rejected.
    time_kinds: {file: what its times were read as}.
  """
  dropped = statistics.duplicates if settings["drop_duplicates"] else 0
  return {
      "rows": rows,
      "num_events": int(table["num_events"].sum()),
      "num_users": table["user_id"].n_unique(),
      "num_pairs": pairs.height,
      "start": _iso(table["start"].min()),
      "end": _iso(table["end"].max()),
      "unit": settings["unit"],
      "leave_one_out": _left_out(table) if settings["leave_one_out"] else None,
      "times": {
          "zone": settings["timezone"],
          "read_as": sorted(set(time_kinds.values())),
          # Gaps, days and hours mean nothing there.
          "ordinal": timestamps.ORDINAL in time_kinds.values(),
      },
      "splits": {
          name: split_report(table, name, pairs, statistics)
          for name in splits.SPLITS
          if (table["split"] == name).any()
      },
      "growth": statistics.growth(),
      "gaps": statistics.gaps(),
      "sessions": statistics.sessions.summary(),
      "top_events": top_events(pairs, statistics.pair_counts[_TRAIN]),
      "duplicates": {"rows": statistics.duplicates, "dropped": dropped},
      "unkept": sorted(n or "(without a name)" for n in rejected.unkept),
      "rejected": {
          "rows": rejected.total,
          "by_reason": dict(
              sorted(rejected.counts.items(), key=lambda item: -item[1])
          ),
      },
      "sources": [
          {
              "name": source["name"],
              "rows": source["rows"],
              "bytes": source["bytes"],
              "times": time_kinds.get(source["name"], "none read"),
          }
          for source in settings["sources"]
      ],
  }
