"""Figures in one style, as PNG."""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import dataclasses
import functools
import io
import math
import re
from typing import Any
import warnings

import matplotlib
import matplotlib.axes
import matplotlib.figure
import matplotlib.style
import matplotlib.ticker

from behavior_lm.reporting.markup import plain

matplotlib.use("Agg")

Axes = matplotlib.axes.Axes

# Series: Okabe and Ito's set, which the colour-blind tell apart, adapted to
# white paper; never colour alone, though.
COLOURS = {
    "ink": "#1f2329",
    "muted": "#5b6570",
    "grid": "#dfe3e8",
    "faint": "#a9b2bc",
    "blue": "#0068a8",
    "orange": "#c94f00",
    "green": "#00805c",
    "pink": "#b0467f",
    # A ramp by lightness: few to many.
    "ramp1": "#b5c7dd",
    "ramp2": "#7fa8c9",
    "ramp3": "#3d87a8",
    "ramp4": "#1d6480",
    "ramp5": "#123a54",
}
SERIES = ("blue", "orange", "green", "pink")
MARKERS = ("o", "s", "^", "D")
_LINES = ("-", "--", "-.", ":")
_RC = {
    "axes.axisbelow": True,
    "axes.edgecolor": COLOURS["faint"],
    "axes.grid": True,
    "axes.labelcolor": COLOURS["muted"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": COLOURS["grid"],
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "text.color": COLOURS["ink"],
    # A "$" in somebody's label is no formula.
    "text.parse_math": False,
    "xtick.color": COLOURS["faint"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.color": COLOURS["faint"],
    "ytick.labelcolor": COLOURS["muted"],
}


@dataclasses.dataclass(frozen=True)
class Figure:
  """A figure of the page.

  Attributes:
    name: of its PNG file, without the ending.
    title: what it shows, in a few words.
    caption: how to read it.
    axes: what was painted.
  """

  name: str
  title: str
  caption: str
  axes: Axes

  @functools.cached_property
  def png(self) -> bytes:
    """The file."""
    file, figure = io.BytesIO(), self.axes.get_figure(root=True)
    assert figure is not None
    with _style():
      figure.savefig(file, format="png", dpi=200, metadata={"Software": None})
    return file.getvalue()


def draw(
    name: str,
    title: str,
    caption: str,
    paint: Callable[[Axes], None],
    size: tuple[float, float] = (4.5, 3.0),
) -> Figure:
  """Lets `paint` draw into one pair of axes, `size` in inches."""
  with _style():
    figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    paint(axes)
  return Figure(name, title, caption, axes)


@contextlib.contextmanager
def _style() -> Iterator[None]:
  with matplotlib.style.context(["default", _RC]), warnings.catch_warnings():
    # Labels in scripts that the font lacks are drawn as boxes.
    warnings.filterwarnings("ignore", message="Glyph .* missing from")
    yield


def style(place: int) -> dict[str, Any]:
  """Colour, marker and line of the curve at a place of a legend."""
  return dict(
      color=COLOURS[SERIES[place % 4]],
      marker=MARKERS[place % 4],
      linestyle=_LINES[place % 4],
  )


def lines(
    axes: Axes, curves: Mapping[str, tuple[Any, Any]], faint: str = ""
) -> None:
  """Draws curves by label, {label: (x, y)}; long ones without markers.

  The curve with the label `faint` is thin, grey and behind the others.
  """
  for place, (label, (x, y)) in enumerate(curves.items()):
    look = style(place) | ({"marker": ""} if len(x) >= 40 else {})
    if label == faint:
      look |= dict(color=COLOURS["faint"], linestyle="-", linewidth=0.8)
      look["zorder"] = 1
    axes.plot(x, y, label=label_text(label), **look)
  if len(curves) > 1:
    axes.legend(loc="best")


def file_name(*words: object) -> str:
  """Words as a part of a file name: letters, digits and underscores."""
  text = re.sub(r"[^A-Za-z0-9]+", "_", "_".join(map(str, words)))
  return text.strip("_")[:60]


def log_axis(axes: Axes, name: str, low: float, high: float) -> None:
  """A logarithmic axis with readable numbers; linear if it spans too little.

  Args:
    axes: what to scale.
    name: "x" or "y".
    low, high: the range of what is drawn, above zero.
  """
  axis = axes.xaxis if name == "x" else axes.yaxis
  if high / low >= 1.5:
    axes.set(**{f"{name}scale": "log"})
    decades = math.log10(high / low)
    steps = [1.0, 2.0, 5.0]
    if decades > 2.6:
      steps = [1.0]
    elif decades > 1.8:
      steps = [1.0, 3.0]
    elif decades < 1:
      steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0]
    locator = matplotlib.ticker.LogLocator(subs=steps, numticks=12)
    axis.set_major_locator(locator)
    axis.set_minor_locator(matplotlib.ticker.NullLocator())
  axis.set_major_formatter(readable)


def _readable(value: float, place: int | None = None) -> str:
  del place
  if abs(value) >= 1e6:
    return f"{value / 1e6:,.10g} M"
  return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.6g}"


readable = matplotlib.ticker.FuncFormatter(_readable)
percent_ticks = matplotlib.ticker.FuncFormatter(
    lambda value, place: f"{100 * value:.6g} %"
)


def label_text(text: object) -> str:
  """A text from outside, for a legend or a tick."""
  return plain(text, longest=36)
