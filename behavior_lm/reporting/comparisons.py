"""Values with their intervals, one below the other."""

from collections.abc import Sequence
import dataclasses
import math
import textwrap
from typing import Any

from behavior_lm.reporting import plots
from behavior_lm.reporting.plots import COLOURS

MOST_POINTS = 40


@dataclasses.dataclass(frozen=True)
class Point:
  """A value, how it is written, and its interval if there is one."""

  name: str
  value: float
  text: str
  interval: Sequence[float] | None
  colour: str
  marker: str


def points_figure(
    name: str,
    title: str,
    caption: str,
    points: Sequence[Point],
    axis: str,
    mark: float | None,
) -> plots.Figure:
  """The finite points from top to bottom, at most 40; a dashed line at `mark`.

  A value far from all others would press them together: an arrow at the end
  of the axis stands for it.
  """
  points = [point for point in points if math.isfinite(point.value)]
  points = points[:MOST_POINTS]
  low, high = limits([point.value for point in points])

  def paint(axes: plots.Axes) -> None:
    for place, point in enumerate(points):
      look: dict[str, Any] = dict(color=COLOURS[point.colour], linewidth=2.4)
      if low <= point.value <= high:
        if point.interval:
          axes.plot(point.interval, (place, place), **look)
        axes.plot(point.value, place, marker=point.marker, **look)
      else:
        end, arrow = (high, ">") if point.value > high else (low, "<")
        axes.plot(end, place, marker=arrow, **look)
      # Beside the axes, where no line crosses the digits.
      beside = axes.get_yaxis_transform()
      axes.text(1.02, place, point.text, transform=beside, va="center")
    if mark is not None:
      axes.axvline(mark, color=COLOURS["muted"], linestyle="--", linewidth=1)
    names = [textwrap.fill(plots.label_text(one.name), 22) for one in points]
    axes.set_yticks(range(len(points)), names)
    axes.set(ylim=(len(points) - 0.4, -0.6), xlabel=axis)
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.08)

  size = (5.0, 0.8 + 0.4 * len(points))
  return plots.draw(name, title, caption, paint, size)


def limits(values: Sequence[float]) -> tuple[float, float]:
  """Where the axis ends: a value off by three times the others' span is out."""
  ordered = sorted(values) or [0.0]
  low, high = ordered[0], ordered[-1]
  if len(ordered) > 2:
    second, last = ordered[1], ordered[-2]
    if high - last > 3 * (last - low):
      high = last + 0.25 * (last - low)
    elif second - low > 3 * (high - second):
      low = second - 0.25 * (high - second)
  return low, high
