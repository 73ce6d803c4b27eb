"""Figures of the map of the embeddings, one a label."""

from collections.abc import Mapping
import re

import numpy as np
import polars as pl

from behavior_lm.reporting import plots
from behavior_lm.reporting.markup import plain
from behavior_lm.reporting.plots import LIGHT

_WIDTH = 4.5  # inches
# More panels than this nobody compares, and each weighs 150 kB.
MOST_LABELS = 8
UNKNOWN = -1
_RAMP = ("ramp1", "ramp2", "ramp3", "ramp4", "ramp5")


def label_values(
    table: pl.DataFrame, users: tuple[str, ...]
) -> dict[str, np.ndarray]:
  """The labels of each of `users`.

  Args:
    table: user_id, one row a user, and a 0/1 column a label, null for none.
    users: [n], a user may come several times.

  Returns:
    {label: [n] int64 of 0, 1 and UNKNOWN}.
  """
  wanted = pl.DataFrame({"user_id": users}, schema={"user_id": pl.String})
  joined = wanted.join(table, on="user_id", how="left", maintain_order="left")
  return {
      name: joined[name].cast(pl.Int64).fill_null(UNKNOWN).to_numpy()
      for name in joined.columns
      if name != "user_id"
  }


def map_figures(
    points: np.ndarray,
    num_events: np.ndarray,
    labels: Mapping[str, np.ndarray],
) -> list[plots.Figure]:
  """One map a label, then one by length.

  Args:
    points: [n, 2].
    num_events: [n].
    labels: see `label_values`.
  """
  figures = [
      _label_map(points, name, values, number)
      for number, (name, values) in enumerate(labels.items(), 1)
  ]
  return [*figures[:MOST_LABELS], _length_map(points, num_events)]


def _label_map(
    points: np.ndarray, label: str, values: np.ndarray, number: int
) -> plots.Figure:
  ones, zeros = int((values == 1).sum()), int((values == 0).sum())
  name = plots.label_text(label)

  def paint(axes: plots.Axes) -> None:
    # The rarer class lies on top, or the other would hide it.
    front = 1 if ones <= zeros else 0
    for value in (UNKNOWN, 1 - front, front):
      chosen = values == value
      if not chosen.any():
        continue
      colour, marker, text = {
          0: ("blue", "o", f"{name} = 0 ({zeros:,})"),
          1: ("orange", "^", f"{name} = 1 ({ones:,})"),
          UNKNOWN: ("faint", ".", f"no label ({chosen.sum():,})"),
      }[value]
      _scatter(axes, points[chosen], colour, marker, text)
    _finish(axes)

  slug = re.sub(r"[^A-Za-z0-9]+", "_", label)[:30].strip("_")
  return plots.draw(
      f"embeddings_{number}_{slug}".rstrip("_"),
      f"Map by {plain(label, longest=60)}",
      "Triangles are the users with the label. If they lie together, the"
      " vectors tell the label although training never saw it. If they are"
      " spread evenly, the map does not show it; the vectors may still, see"
      " the probe.",
      paint,
      _size(points, legend=0.4),
  )


def _length_map(points: np.ndarray, num_events: np.ndarray) -> plots.Figure:
  """The points by number of events, in five classes of equal size."""
  edges = np.unique(np.quantile(num_events, np.linspace(0, 1, 6)).round())
  inner = edges[1:-1]
  classes = np.searchsorted(inner, num_events, side="right")
  present = np.unique(classes)
  # Few classes take the ends of the ramp.
  shades = np.linspace(0, len(_RAMP) - 1, max(len(present), 2)).round()

  def paint(axes: plots.Axes) -> None:
    for shade, class_ in zip(shades.astype(int), present, strict=False):
      chosen = classes == class_
      low, high = num_events[chosen].min(), num_events[chosen].max()
      text = f"{low:,}" if low == high else f"{low:,} to {high:,}"
      _scatter(axes, points[chosen], _RAMP[shade], "o", text)
    _finish(axes, title="events")

  return plots.draw(
      "embeddings_num_events",
      "Map by number of events",
      "The same points by length, in five classes of equal size. Length is what"
      " a vector tells most easily: a pattern in another panel that repeats"
      " this one may be nothing but length.",
      paint,
      _size(points, legend=0.7),
  )


def _size(points: np.ndarray, legend: float) -> tuple[float, float]:
  """Inches: as high as the map needs, and its legend."""
  width, height = np.ptp(points, axis=0)
  ratio = float(np.clip(height / width, 0.5, 0.95)) if width else 0.95
  return _WIDTH, _WIDTH * ratio + legend


def _scatter(
    axes: plots.Axes, points: np.ndarray, colour: str, marker: str, text: str
) -> None:
  axes.plot(
      points[:, 0],
      points[:, 1],
      color=LIGHT[colour],
      marker=marker,
      markersize=3.4 if len(points) > 300 else 4.5,
      markeredgewidth=0,
      alpha=0.8,
      linestyle="",
      label=text,
  )


def _finish(axes: plots.Axes, title: str | None = None) -> None:
  axes.set_aspect("equal", adjustable="datalim")
  axes.grid(visible=False)
  # The axes of t-SNE have no unit and no direction.
  axes.set_xticks([])
  axes.set_yticks([])
  axes.spines[:].set_visible(False)
  axes.figure.legend(
      *axes.get_legend_handles_labels(),
      loc="outside lower center",
      ncols=3,
      title=title,
      markerscale=1.8,
      handletextpad=0.2,
      columnspacing=1.2,
  )
