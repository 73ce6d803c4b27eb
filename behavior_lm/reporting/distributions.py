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
      f"Share of the {_unit(report)}s by their number of events; the axis is"
      f" logarithmic. The middle one of {first} has"
      f" {middle:,.0f} events, the mean is {lengths.mean:,.0f}: far apart, a"
      " few very long sequences hold much of the data.",
      paint,
  )


def _gaps(report: DataReport) -> plots.Figure | None:
  gaps = report.gaps
  if not gaps.count:
    return None
  ties = gaps.zero_share or 0.0

  def paint(axes: plots.Axes) -> None:
    left, width = _places(gaps.bins)
    shares = np.array([bin_.count / gaps.count for bin_ in gaps.bins])
    floor = 10.0 ** math.floor(math.log10(shares[shares > 0].min()) - 0.3)
    is_tie = np.array([not bin_.low for bin_ in gaps.bins])
    for chosen, colour in ((is_tie, "orange"), (~is_tie, "blue")):
      axes.bar(
          left[chosen],
          np.maximum(shares[chosen] - floor, 0),
          bottom=floor,
          width=0.94 * width[chosen],
          align="edge",
          color=LIGHT[colour],
      )
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(plots.percent_ticks)
    axes.minorticks_off()
    axes.set_ylim(floor, 3.0)
    axes.grid(visible=False, axis="x")
    marked = is_tie if len(shares) > 8 else shares > 0
    for place in np.flatnonzero(marked & (shares > 0)):
      axes.annotate(
          _short_percent(shares[place]),
          (left[place] + 0.47 * width[place], shares[place]),
          xytext=(0, 2),
          textcoords="offset points",
          ha="center",
          fontsize=8.5,
          color=LIGHT["muted"],
      )
    ticks = time_ticks(left[~is_tie], width[~is_tie])
    ticks |= {
        float(left[place] + 0.47 * width[place]): "0"
        for place in np.flatnonzero(is_tie)
    }
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlabel("time to the next event")
    axes.set_ylabel("share of gaps")

  return plots.draw(
      "data_gaps",
      "Time between neighbouring events",
      "Share of the gaps that are as long as a bar is wide, both axes"
      f" logarithmic. {percent(ties)} are ties, two events with the same time"
      " stamp (the bar at 0). Half of all gaps are at most"
      f" {time_text(gaps.quantiles.get('p50', math.nan))}, one in a hundred is"
      f" over {time_text(gaps.quantiles.get('p99', math.nan))}.",
      paint,
  )


def _places(bins: tuple[Bin, ...]) -> tuple[np.ndarray, np.ndarray]:
  """Left edges and widths in powers of ten of a second, [n] and [n].

  Ties have no place on a logarithmic axis: they get one left of the first bin
  that is not empty.
  """
  first = next((bin_.low for bin_ in bins if bin_.low and bin_.count), 1.0)
  left: list[float] = []
  width: list[float] = []
  for bin_ in bins:
    low = math.log10(bin_.low) if bin_.low else math.log10(first) - 1.0
    if not bin_.low:
      high = low + 0.7
    elif bin_.high is None:
      high = low + (width[-1] if width else 1.0)
    else:
      high = math.log10(bin_.high)
    left.append(low)
    # What is empty between the ties and the first gaps takes no room.
    width.append(high - low if bin_.low >= first or not bin_.low else 0.0)
  return np.maximum(left, math.log10(first) - 1.0), np.array(width)


_MOMENTS = (
    (1.0, "1 s"), (60.0, "1 min"), (3_600.0, "1 h"), (86_400.0, "1 d"),
    (1e-3, "1 ms"), (1e-6, "1 µs"), (31_557_600.0, "1 y"), (10.0, "10 s"),
    (600.0, "10 min"), (36_000.0, "10 h"), (864_000.0, "10 d"),
    (0.1, "100 ms"), (1e-2, "10 ms"), (1e-4, "100 µs"), (1e-5, "10 µs"),
)


def time_ticks(left: np.ndarray, width: np.ndarray) -> dict[float, str]:
  """Marks that people know, the best known first, with room between them.

  Args:
    left, width: [n] of the bars, in powers of ten of a second.

  Returns:
    {place: name}.
  """
  used = width > 0
  if not used.any():
    return {}
  first, last = left[used].min(), (left + width)[used].max()
  ticks: dict[float, str] = {}
  for seconds, name in _MOMENTS:
    place = math.log10(seconds)
    room = min((abs(place - other) for other in ticks), default=math.inf)
    if first - 1e-9 <= place <= last and room > (last - first) / 9:
      ticks[place] = name
  return ticks


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


def time_text(seconds: float) -> str:
  """0.5 s, 17 min, 2.8 h."""
  for size, unit in ((86_400, "d"), (3_600, "h"), (600, "min")):
    if seconds >= size:
      return f"{seconds / (60 if unit == 'min' else size):,.3g} {unit}"
  for part, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
    if seconds >= part:
      return f"{seconds / part:.3g} {unit}"
  return f"{seconds:g} s"


def _short_percent(share: float) -> str:
  value = 100 * share
  if value < 0.001:
    return "< 0.001 %"
  digits = max(0, -math.floor(math.log10(value)))
  return f"{value:.{digits}f} %"
