"""Figures of the data report: lengths, gaps, vocabulary."""

import math

import numpy as np

from behavior_lm.reporting import plots
from behavior_lm.reporting.data_record import Bin
from behavior_lm.reporting.data_record import DataReport
from behavior_lm.reporting.markup import percent
from behavior_lm.reporting.plots import LIGHT


def data_figures(report: DataReport) -> list[plots.Figure]:
  """Those for which the report has numbers."""
  figures = []
  for make in (_lengths, _gaps, _growth, _coverage):
    figure = make(report)
    if figure:
      figures.append(figure)
  return figures


def _lengths(report: DataReport) -> plots.Figure | None:
  parts = {
      name: part.lengths
      for name, part in report.splits.items()
      if part.lengths.count
  }
  if not parts:
    return None

  def paint(axes: plots.Axes) -> None:
    for place, (name, lengths) in enumerate(parts.items()):
      edges = [bin_.low for bin_ in lengths.bins]
      edges.append(lengths.bins[-1].high or 2 * lengths.bins[-1].low)
      shares = [bin_.count / lengths.count for bin_ in lengths.bins]
      axes.stairs(
          shares,
          edges,
          baseline=0,
          fill=place == 0,
          alpha=0.35 if place == 0 else None,
          color=LIGHT[plots.SERIES[place % 4]],
          linewidth=1.8,
          linestyle=("-", "-", "--", ":")[place % 4],
          label=plots.label_text(name),
      )
    lows = [part.bins[0].low for part in parts.values()]
    highs = [part.bins[-1].low for part in parts.values()]
    plots.log_axis(axes, "x", min(lows), 2 * max(highs))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(f"events a {_unit(report)}")
    axes.set_ylabel("share of sequences")
    axes.yaxis.set_major_formatter(plots.percent_ticks)
    axes.legend(loc="upper left")

  first, lengths = next(iter(parts.items()))
  middle = lengths.quantiles.get("p50", math.nan)
  return plots.draw(
      "data_lengths",
      "Length of sequences",
      f"Share of the {_unit(report)}s by their number of events; each step to"
      f" the right doubles the length. The middle one of {first} has"
      f" {middle:,.0f} events, the mean is {lengths.mean:,.0f}: far apart, a"
      " few very long sequences hold much of the data.",
      paint,
  )


def _gaps(report: DataReport) -> plots.Figure | None:
  gaps = report.gaps
  if not gaps.count:
    return None
  bars = _merged(gaps.bins)

  def paint(axes: plots.Axes) -> None:
    shares = [bin_.count / gaps.count for bin_ in bars]
    smallest = min(share for share in shares if share)
    floor = 10.0 ** math.floor(math.log10(smallest) - 0.3)
    axes.bar(
        range(len(bars)),
        [max(share, floor) - floor for share in shares],
        bottom=floor,
        width=0.86,
        color=[LIGHT["orange" if not bin_.low else "blue"] for bin_ in bars],
    )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(plots.percent_ticks)
    axes.minorticks_off()
    axes.set_ylim(floor, 3.0)
    axes.grid(visible=False, axis="x")
    for place, share in enumerate(shares):
      if share:
        axes.annotate(
            _short_percent(share),
            (place, share),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            color=LIGHT["muted"],
        )
    names = [_time(bin_.low) for bin_ in bars]
    if len(bars) <= 8:
      names = [name.replace("\n", " ") for name in names]
    axes.set_xticks(range(len(bars)), names)
    axes.set_xlabel("from this gap to the next mark")
    axes.set_ylabel("share of gaps")

  ties = gaps.zero_share or 0.0
  return plots.draw(
      "data_gaps",
      "Time between neighbouring events",
      f"Each bar covers ten times longer gaps than the one before; both axes"
      f" are logarithmic. {percent(ties)} of the gaps are ties (the same time"
      " stamp, the bar on the left); half of all gaps are at most"
      f" {_exact_time(gaps.quantiles.get('p50', math.nan))}, one in a hundred"
      f" is over {_exact_time(gaps.quantiles.get('p99', math.nan))}.",
      paint,
  )


def _growth(report: DataReport) -> plots.Figure | None:
  points = [point for point in report.growth if point[0] and point[1]]
  if len(points) < 2:
    return None
  events, pairs = np.asarray(points, np.float64).T
  slope = np.log(pairs[-1] / pairs[-2]) / np.log(events[-1] / events[-2])

  def paint(axes: plots.Axes) -> None:
    axes.plot(events, pairs, color=LIGHT["blue"], marker="o", linewidth=1.8)
    plots.log_axis(axes, "x", events.min(), events.max())
    plots.log_axis(axes, "y", pairs.min(), pairs.max())
    axes.set_xlabel("events of train, in the order of the dataset")
    axes.set_ylabel("distinct pairs")

  return plots.draw(
      "data_growth",
      "Growth of the vocabulary",
      "Distinct (event, design) pairs met after so many events of train, both"
      " axes logarithmic. At its end the vocabulary grows with power"
      f" {slope:.2f} of the events: near 0 everything has been seen, near 1"
      " every new event is a new pair.",
      paint,
  )


def _coverage(report: DataReport) -> plots.Figure | None:
  parts = {
      name: part.coverage
      for name, part in report.splits.items()
      if part.coverage
  }
  if not parts:
    return None

  def paint(axes: plots.Axes) -> None:
    for place, (name, points) in enumerate(parts.items()):
      sizes, shares = zip(*points, strict=True)
      axes.plot(
          sizes,
          shares,
          color=LIGHT[plots.SERIES[place % 4]],
          marker=plots.MARKERS[place % 4],
          markersize=5,
          linewidth=1.8,
          linestyle=("-", "--", "-.", ":")[place % 4],
          label=plots.label_text(name),
      )
    every = [size for points in parts.values() for size, _ in points]
    plots.log_axis(axes, "x", min(every), max(every))
    axes.yaxis.set_major_formatter(plots.percent_ticks)
    axes.set_xlabel("most frequent pairs of train in the vocabulary")
    axes.set_ylabel("events covered")
    axes.legend(loc="lower right")

  return plots.draw(
      "data_coverage",
      "Coverage by a capped vocabulary",
      "Share of the events whose pair is among the most frequent ones of"
      " train. The other events fall back to their event id alone. Where a"
      " split stays below 100 % to the end, it has pairs that train never"
      " showed.",
      paint,
  )


def _unit(report: DataReport) -> str:
  return report.unit.replace("_", "-")


def _merged(bins: tuple[Bin, ...]) -> list[Bin]:
  """Bins with the empty ones after the ties taken together."""
  bars = [bin_ for bin_ in bins if not bin_.low]
  rest = [bin_ for bin_ in bins if bin_.low]
  while len(rest) > 1 and not rest[0].count and bars:
    rest = rest[1:]
  return bars + rest


def _time(seconds: float) -> str:
  """For the marks of the axis: 0, 1 µs, 10 s, 17 min, 2.8 h."""
  if not seconds:
    return "0"
  for size, unit in ((86_400, "d"), (3_600, "h"), (600, "min"), (1, "s")):
    if seconds >= size:
      value = seconds / (60 if unit == "min" else size)
      return f"{value:,.2g}\n{unit}" if value < 10 else f"{value:,.0f}\n{unit}"
  for part, unit in ((1e-3, "ms"), (1e-6, "µs")):
    if seconds >= part * (1 - 1e-9):
      return f"{seconds / part:.3g}\n{unit}"
  return f"{seconds:g}\ns"


def _exact_time(seconds: float) -> str:
  if seconds < 600:
    return f"{seconds:.3g} s"
  return _time(seconds).replace("\n", " ")


def _short_percent(share: float) -> str:
  value = 100 * share
  if value < 0.001:
    return "< 0.001 %"
  digits = max(0, -math.floor(math.log10(value)))
  return f"{value:.{digits}f} %"
