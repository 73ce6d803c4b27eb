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
  splits = report["splits"].items()
  lengths = {k: v["lengths"] for k, v in splits if v["lengths"]["count"]}
  coverage = {k: v["coverage"] for k, v in splits if v["coverage"]}
  growth = [row for row in report["growth"] if row["events"] and row["pairs"]]
  figures = []
  if lengths:
    figures.append(_lengths(lengths, report["unit"]))
  if report["gaps"]["count"]:
    figures.append(_gaps(report["gaps"]))
  if len(growth) > 1:
    figures.append(_growth(growth))
  if coverage:
    figures.append(_coverage(coverage))
  return figures


def _lengths(parts: Mapping[str, Any], unit: str) -> plots.Figure:
  def paint(axes: plots.Axes) -> None:
    bins = [bar for part in parts.values() for bar in part["histogram"]]
    for place, (name, part) in enumerate(parts.items()):
      look = plots.style(place) | {"label": plots.label_text(name)}
      del look["marker"]
      shares = [bar["count"] / part["count"] for bar in part["histogram"]]
      axes.stairs(shares, edges_of(part["histogram"]), **look)
    low, high = min(b["from"] for b in bins), max(b["to"] for b in bins)
    plots.log_axis(axes, "x", low, high)
    axes.set(xlabel=f"events per {unit}", ylabel="share of sequences")
    axes.yaxis.set_major_formatter(plots.percent_ticks)
    axes.legend(loc="upper left")

  facts = [
      f"of {name} the median is {part['quantiles']['p50']:,.0f} events, the"
      f" mean {part['mean']:,.0f}"
      for name, part in parts.items()
  ]
  caption = f"The horizontal axis is logarithmic; {'; '.join(facts)}."
  return plots.draw("data_lengths", "Length of sequences", caption, paint)


def _gaps(gaps: Mapping[str, Any]) -> plots.Figure:
  ties, quantiles = gaps["zero_share"], gaps["quantiles"]
  bars = [bar for bar in gaps["histogram"] if bar["from"]]
  while bars and not bars[0]["count"]:
    del bars[0]

  def paint(axes: plots.Axes) -> None:
    edges = edges_of(bars) if bars else [1.0, 10.0]
    shares = [bar["count"] / gaps["count"] for bar in bars]
    floor = time_axis(axes, edges, [*shares, ties])
    if bars:
      paint_bars(axes, edges, shares, floor, "blue")
    if ties:
      tie = [edges[0] / 20, edges[0] / 4]
      paint_bars(axes, tie, [ties], floor, "orange", "0, a tie")
      axes.legend(loc="upper right")
    axes.set(xlabel="time to the next event", ylabel="share of gaps")

  return plots.draw(
      "data_gaps",
      "Time between neighbouring events",
      f"{percent(ties)} are ties, two events with the same time. Half of all"
      f" gaps are at most {time_text(quantiles['p50'])}, one in a hundred is"
      f" over {time_text(quantiles['p99'])}. Both axes are logarithmic.",
      paint,
  )


def _growth(points: list[Mapping[str, Any]]) -> plots.Figure:
  events, pairs = (
      np.array([row[name] for row in points], np.float64)
      for name in ("events", "pairs")
  )
  slope = np.log(pairs[-1] / pairs[-2]) / np.log(events[-1] / events[-2])

  def paint(axes: plots.Axes) -> None:
    plots.lines(axes, {"train": (events, pairs)})
    plots.log_axis(axes, "x", events.min(), events.max())
    plots.log_axis(axes, "y", pairs.min(), pairs.max())
    axes.set(xlabel="events of train, in order", ylabel="distinct pairs")

  return plots.draw(
      "data_growth",
      "Growth of the vocabulary",
      "Distinct (event, design) pairs after so many events of train. At its"
      f" end the vocabulary grows with power {slope:.2f} of the events: near 0"
      " everything has been seen, near 1 every event is a new pair.",
      paint,
  )


def _coverage(parts: Mapping[str, Any]) -> plots.Figure:
  curves = {
      name: ([row["pairs"] for row in rows], [row["share"] for row in rows])
      for name, rows in parts.items()
  }
  sizes = [size for found, _ in curves.values() for size in found]

  def paint(axes: plots.Axes) -> None:
    plots.lines(axes, curves)
    plots.log_axis(axes, "x", min(sizes), max(sizes))
    axes.yaxis.set_major_formatter(plots.percent_ticks)
    axes.set(xlabel="most frequent pairs of train", ylabel="events covered")

  return plots.draw(
      "data_coverage",
      "Coverage by a capped vocabulary",
      "Share of the events whose pair is among the most frequent ones of"
      " train. Other events fall back to their event id alone.",
      paint,
  )


def edges_of(bars: list[Mapping[str, Any]]) -> list[float]:
  """[n + 1] edges; the last bar ends at ten times its start if it is open."""
  last = bars[-1]
  return [bar["from"] for bar in bars] + [last["to"] or 10 * last["from"]]


def time_axis(axes: plots.Axes, edges: Any, heights: Any) -> float:
  """Makes both axes logarithmic, with times that people know on one.

  Args:
    axes: where bars will be drawn.
    edges: of the bars, seconds above 0.
    heights: of the bars, shares.

  Returns:
    Where the lowest bars start.
  """
  least = min(height for height in heights if height > 0)
  floor = 10.0 ** math.floor(math.log10(least) - 0.3)
  axes.set(xscale="log", yscale="log", ylim=(floor, 4 * max(heights)))
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


def paint_bars(
    axes: plots.Axes,
    edges: Any,
    heights: Any,
    floor: float,
    colour: str,
    label: str | None = None,
) -> None:
  """Bars that stand on `floor`, which a logarithmic axis needs."""
  axes.stairs(
      np.maximum(heights, floor),
      edges,
      baseline=floor,
      fill=True,
      color=COLOURS[colour],
      label=label,
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
