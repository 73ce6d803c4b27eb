"""Figures: drawn once, kept as a PNG and as an SVG that knows the dark.

The SVG's colours become CSS variables of the page, its letters the page's
letters. The PNG is for papers and slides: light, with its own font.
"""

from collections.abc import Callable
import dataclasses
import io
import math
import re
import warnings
import xml.etree.ElementTree as ElementTree

import matplotlib
import matplotlib.axes
import matplotlib.figure
import matplotlib.style
import matplotlib.ticker

from behavior_lm.reporting.markup import Markup
from behavior_lm.reporting.markup import plain

matplotlib.use("Agg")

Axes = matplotlib.axes.Axes

# {name: (on light paper, on dark)}. Series: Okabe and Ito's set, which the
# colour-blind tell apart, adapted to the paper; never colour alone, though.
COLOURS = {
    "ink": ("#1f2329", "#e6e8eb"),
    "muted": ("#5b6570", "#a3adb8"),
    "grid": ("#dfe3e8", "#343b44"),
    "faint": ("#a9b2bc", "#59636e"),
    "blue": ("#0068a8", "#58b4ee"),
    "orange": ("#c94f00", "#f2a13a"),
    "green": ("#00805c", "#35c79a"),
    "pink": ("#b0467f", "#e58fbd"),
    # A ramp by lightness: few to many.
    "ramp1": ("#b5c7dd", "#5d6fa8"),
    "ramp2": ("#7fa8c9", "#5a93be"),
    "ramp3": ("#3d87a8", "#62bcbe"),
    "ramp4": ("#1d6480", "#97dcab"),
    "ramp5": ("#123a54", "#ecf6a8"),
}
LIGHT = {name: light for name, (light, _) in COLOURS.items()}
SERIES = ("blue", "orange", "green", "pink")
MARKERS = ("o", "s", "^", "D")

_PANEL = (4.5, 3.0)  # inches; about the width of a phone
_DPI = 200
_RC = {
    "axes.edgecolor": LIGHT["faint"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.linewidth": 0.8,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 10,
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 0.8,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "legend.labelcolor": LIGHT["ink"],
    "text.color": LIGHT["ink"],
    # A "$" in somebody's label is no formula.
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "behavior_lm",
    "xtick.color": LIGHT["faint"],
    "xtick.labelcolor": LIGHT["muted"],
    "xtick.labelsize": 9.5,
    "ytick.color": LIGHT["faint"],
    "ytick.labelcolor": LIGHT["muted"],
    "ytick.labelsize": 9.5,
}
_XLINK = "{http://www.w3.org/1999/xlink}href"


@dataclasses.dataclass(frozen=True)
class Figure:
  """A figure of the page.

  Attributes:
    name: of its PNG file, without the ending.
    title: what it shows, in a few words.
    caption: how to read it.
    png: the file.
    svg: for the page.
  """

  name: str
  title: str
  caption: str
  png: bytes
  svg: Markup


def draw(
    name: str,
    title: str,
    caption: str,
    paint: Callable[[Axes], None],
    size: tuple[float, float] = _PANEL,
) -> Figure:
  """Lets `paint` draw into one pair of axes, `size` in inches."""
  with matplotlib.style.context(["default", _RC]), warnings.catch_warnings():
    # Labels in scripts that the PNG's font lacks; the page's font has them.
    warnings.filterwarnings("ignore", message="Glyph .* missing from")
    figure = matplotlib.figure.Figure(figsize=size, layout="constrained")
    paint(figure.add_subplot())
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(
        png,
        format="png",
        dpi=_DPI,
        facecolor="white",
        metadata={"Software": None},
    )
    figure.savefig(
        svg, format="svg", metadata={"Date": None, "Creator": None}
    )
  inline = _inline(svg.getvalue(), name, title)
  return Figure(name, title, caption, png.getvalue(), inline)


def log_axis(axes: Axes, name: str, low: float, high: float) -> None:
  """A logarithmic axis with readable numbers; linear if it spans too little.

  Args:
    axes: what to scale.
    name: "x" or "y".
    low, high: the range of what is drawn, above zero.
  """
  axis = axes.xaxis if name == "x" else axes.yaxis
  if high / low < 1.5:
    axis.set_major_formatter(readable)
    return
  axes.set(**{f"{name}scale": "log"})
  decades = math.log10(high / low)
  steps = [1.0, 2.0, 5.0]
  if decades > 3.2:
    steps = [1.0]
  elif decades > 2:
    steps = [1.0, 3.0]
  elif decades < 1:
    steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0]
  axis.set_major_locator(matplotlib.ticker.LogLocator(subs=steps, numticks=12))
  axis.set_major_formatter(readable)
  axis.set_minor_locator(matplotlib.ticker.NullLocator())


def _readable(value: float, place: int | None = None) -> str:
  del place
  size = abs(value)
  if size >= 1e6:
    return f"{value / 1e6:,.10g} M"
  if size >= 1_000:
    return f"{value:,.0f}"
  return f"{value:.6g}"


readable = matplotlib.ticker.FuncFormatter(_readable)
percent_ticks = matplotlib.ticker.FuncFormatter(
    lambda value, place: f"{100 * value:.6g} %"
)


def label_text(text: str) -> str:
  """A text from outside, for a legend or a tick."""
  return plain(text, longest=36)


def _inline(svg: bytes, name: str, title: str) -> Markup:
  """The SVG as part of an HTML page.

  Parsed and rewritten, not patched as text: what stands in labels is never
  taken for an attribute.
  """
  root = ElementTree.fromstring(svg)
  for parent in list(root.iter()):
    for child in list(parent):
      # Its style rules would hold for the whole page.
      if _local(child.tag) in ("metadata", "style"):
        parent.remove(child)
  for element in root.iter():
    element.tag = _local(element.tag)
    for key, value in list(element.attrib.items()):
      del element.attrib[key]
      if key == _XLINK:
        element.set("href", value.replace("#", f"#{name}-", 1))
      elif key == "id":
        element.set("id", f"{name}-{value}")
      elif key == "clip-path":
        element.set(key, value.replace("url(#", f"url(#{name}-", 1))
      elif key == "style":
        element.set(key, _themed(value))
      elif key in ("x", "y") and element.tag == "use":
        element.set(key, f"{float(value):.1f}")
      else:
        element.set(key, value)
  for key in ("width", "height", "version"):
    root.attrib.pop(key, None)
  root.set("class", "plot")
  root.set("role", "img")
  root.set("aria-label", plain(title))
  for element in root.iter():
    # Only spaces and line ends stand between elements.
    element.tail = None
    if element.text and not element.text.strip():
      element.text = None
  return Markup(ElementTree.tostring(root, encoding="unicode"))


def _local(name: str) -> str:
  return name.rpartition("}")[2]


_VARIABLES = {light: f"var(--{name})" for name, light in LIGHT.items()}


def _themed(style: str) -> str:
  style = re.sub(
      r"#[0-9a-f]{6}",
      lambda match: _VARIABLES.get(match[0], match[0]),
      style,
  )
  return re.sub(r"font-family: [^;]*", "font-family: inherit", style)
