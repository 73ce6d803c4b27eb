"""Figures of the data report: lengths, gaps, vocabulary."""

from collections.abc import Mapping
import math
from typing import Any

import numpy as np

from behavior_lm.reporting import plots
from behavior_lm.reporting.markup import percent
from behavior_lm.reporting.plots import COLOURS

_MOMENTS = {
    1e-6: "1 µs", 1e-3: "1 ms", 1: "1 s", 60: "1 min", 3_600: "1 h",
    86_400: "1 d", 31_557_600: "1 y",
}
# For axes that hold fewer than two of the above.
_MORE_MOMENTS = {
    1e-5: "10 µs", 1e-4: "100 µs", 1e-2: "10 ms", 0.1: "100 ms", 10: "10 s",
    600: "10 min", 36_000: "10 h", 864_000: "10 d",
}


def data_figures(report: Mapping[str, Any]) -> list[plots.Figure]:
  """The figures for which the report has numbers."""
  figures = []
  lengths = {
      name: part["lengths"]
      for name, part in report["splits"].items()
      if part["lengths"]["count"]
  }
  if lengths:
    figures.append(_lengths(lengths, unit(report)))
  if report["gaps"]["count"]:
    figures.append(_gaps(report["gaps"]))
  growth = [row for row in report["growth"] if row["events"] and row["pairs"]]
  if len(growth) > 1:
    figures.append(_growth(growth))
  coverage = {
      name: part["coverage"]
      for name, part in report["splits"].items()
      if part["coverage"]
  }
  if coverage:
    figures.append(_coverage(coverage))
  return figures


def unit(report: Mapping[str, Any]) -> str:
  """What a sequence is, in words: user or user-day."""
  return str(report["unit"]).replace("_", "-")


def _lengths(parts: Mapping[str, Any], one: str) -> plots.Figure:
  def paint(axes: plots.Axes) -> None:
    for place, (name, lengths) in enumerate(parts.items()):
      bars = lengths["histogram"]
      axes.stairs(
          [bar["count"] / lengths["count"] for bar in bars],
          [bar["from"] for bar in bars] + [bars[-1]["to"]],
          color=COLOURS[plots.SERIES[place % 4]],
          linewidth=1.8,
          linestyle=plots.LINES[place % 4],
          label=plots.label_text(name),
      )
    bins = [bar for part in parts.values() for bar in part["histogram"]]
    low, high = min(b["from"] for b in bins), max(b["to"] for b in bins)
    plots.log_axis(axes, "x", low, high)
    axes.set_xlabel(f"events per {one}")
    axes.set_ylabel("share of sequences")
    axes.yaxis.set_major_formatter(plots.percent_ticks)
    axes.legend(loc="upper left")

  name, first = next(iter(parts.items()))
  return plots.draw(
      "data_lengths",
      "Length of sequences",
      f"The median of {name} is {first['quantiles']['p50']:,.0f} events, its"
      f" mean {first['mean']:,.0f}. The horizontal axis is logarithmic.",
      paint,
  )


def _gaps(gaps: Mapping[str, Any]) -> plots.Figure:
  ties, quantiles = gaps["zero_share"], gaps["quantiles"]
  bars = [bar for bar in gaps["histogram"] if bar["from"]]
  while bars and not bars[0]["count"]:
    del bars[0]

  def paint(axes: plots.Axes) -> None:
    edges = [bar["from"] for bar in bars] or [1.0]
    shares = np.array([bar["count"] / gaps["count"] for bar in bars])
    end = bars[-1]["to"] if bars else 10.0
    floor = time_axis(axes, [*edges, end or 10 * edges[-1]], [*shares, ties])
    axes.stairs(
        np.maximum(shares, floor),
        [*edges, end or 10 * edges[-1]],
        baseline=floor,
        fill=True,
        color=COLOURS["blue"],
    ) if bars else None
    if ties:
      axes.stairs(
          [ties],
          [edges[0] / 20, edges[0] / 4],
          baseline=floor,
          fill=True,
          color=COLOURS["orange"],
          label="0, a tie",
      )
      axes.legend(loc="upper right")
    axes.set_xlabel("time to the next event")
    axes.set_ylabel("share of gaps")

  return plots.draw(
      "data_gaps",
      "Time between neighbouring events",
      f"{percent(ties)} are ties, two events with the same time. Half of all"
      f" gaps are at most {time_text(quantiles['p50'])}, one in a hundred is"
      f" over {time_text(quantiles['p99'])}. Both axes are logarithmic.",
      paint,
  )


def time_axis(axes: plots.Axes, edges: Any, heights: Any) -> float:
  """Makes both axes logarithmic, with times that people know on one.

  Args:
    axes: where bars will be drawn.
    edges: of the bars, seconds above 0.
    heights: of the bars, shares.

  Returns:
    Where the lowest bars start.
  """
  shares = np.asarray(heights)
  floor = 10.0 ** math.floor(math.log10(shares[shares > 0].min()) - 0.3)
  axes.set(xscale="log", yscale="log", ylim=(floor, 4 * shares.max()))
  inside = lambda moments: {
      at: name for at, name in moments.items() if edges[0] <= at <= edges[-1]
  }
  ticks = inside(_MOMENTS)
  if len(ticks) < 2:
    ticks |= inside(_MORE_MOMENTS)
  axes.set_xticks(list(ticks), list(ticks.values()))
  axes.minorticks_off()
  axes.yaxis.set_major_formatter(plots.percent_ticks)
  axes.grid(visible=False, axis="x")
  return floor


def _growth(points: list[Mapping[str, Any]]) -> plots.Figure:
  events = np.array([row["events"] for row in points], np.float64)
  pairs = np.array([row["pairs"] for row in points], np.float64)
  slope = np.log(pairs[-1] / pairs[-2]) / np.log(events[-1] / events[-2])

  def paint(axes: plots.Axes) -> None:
    axes.plot(events, pairs, "o-", color=COLOURS["blue"])
    plots.log_axis(axes, "x", events.min(), events.max())
    plots.log_axis(axes, "y", pairs.min(), pairs.max())
    axes.set_xlabel("events of train, in the order of the dataset")
    axes.set_ylabel("distinct pairs")

  return plots.draw(
      "data_growth",
      "Growth of the vocabulary",
      "Distinct (event, design) pairs after so many events of train. At its"
      f" end the vocabulary grows with power {slope:.2f} of the events: near 0"
      " everything has been seen, near 1 every event is a new pair.",
      paint,
  )


def _coverage(parts: Mapping[str, Any]) -> plots.Figure:
  def paint(axes: plots.Axes) -> None:
    for place, (name, points) in enumerate(parts.items()):
      axes.plot(
          [point["pairs"] for point in points],
          [point["share"] for point in points],
          color=COLOURS[plots.SERIES[place % 4]],
          marker=plots.MARKERS[place % 4],
          linestyle=plots.LINES[place % 4],
          label=plots.label_text(name),
      )
    sizes = [point["pairs"] for points in parts.values() for point in points]
    plots.log_axis(axes, "x", min(sizes), max(sizes))
    axes.yaxis.set_major_formatter(plots.percent_ticks)
    axes.set_xlabel("most frequent pairs of train in the vocabulary")
    axes.set_ylabel("events covered")
    axes.legend(loc="lower right")

  return plots.draw(
      "data_coverage",
      "Coverage by a capped vocabulary",
      "Share of the events whose pair is among the most frequent ones of"
      " train. Other events fall back to their event id alone.",
      paint,
  )


def time_text(seconds: float) -> str:
  """0.5 s, 17 min, 2.8 h."""
  for least, size, name in (
      (86_400, 86_400, "d"), (3_600, 3_600, "h"), (600, 60, "min"),
      (1, 1, "s"), (1e-3, 1e-3, "ms"), (1e-6, 1e-6, "µs"),
  ):
    if seconds >= least:
      return f"{seconds / size:,.3g} {name}"
  return f"{seconds:g} s"
