"""What attentions see, side by side: a square a pair of tokens."""

from collections.abc import Mapping, Sequence
import io
import math

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch
import matplotlib.style
import numpy as np

from behavior_lm.reporting import plots

COLUMNS = 3
# Inches; a page's width holds three of them.
PANEL = (2.45, 2.75)
_PAPER = (1.0, 1.0, 1.0)


def draw_attention(
    panels: Sequence[tuple[str, Mapping[str, np.ndarray]]],
    segment_ids: np.ndarray,
) -> bytes:
  """Small multiples, one a kind of attention; queries down, keys across.

  Args:
    panels: title, and {why a query sees a key: [length, length] bool}, at most
      as many as there are colours of series.
    segment_ids: [length] of the row, 0 is padding.

  Returns:
    A PNG file.

  Raises:
    ValueError: if a mask does not fit the row.
  """
  length = len(segment_ids)
  for title, parts in panels:
    for name, mask in parts.items():
      if mask.shape != (length, length):
        raise ValueError(
            f"{title}: {name} is {mask.shape}, but the row has {length} tokens"
        )
  num_rows = math.ceil(len(panels) / COLUMNS)
  size = (PANEL[0] * COLUMNS, PANEL[1] * num_rows)
  with matplotlib.style.context("default"):
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.1))
    grid = figure.subplots(num_rows, COLUMNS, squeeze=False)
    for axes, panel in zip(grid.flat, panels, strict=False):
      _draw_panel(axes, *panel, segment_ids)
    for axes in grid.flat[len(panels) :]:
      axes.axis("off")
    for axes in grid[:, 0]:
      axes.set_ylabel("query", fontsize=8, color=plots.COLOURS["muted"])
    for axes in grid[-1]:
      axes.set_xlabel("key", fontsize=8, color=plots.COLOURS["muted"])
    file = io.BytesIO()
    figure.savefig(
        file, format="png", dpi=300, metadata={"Software": None}
    )
  return file.getvalue()


def paint(
    parts: Mapping[str, np.ndarray], segment_ids: np.ndarray
) -> np.ndarray:
  """[length, length, 3] colours from 0 to 1: paper, padding, and the parts."""
  padding = segment_ids == 0
  image = np.full((*[len(segment_ids)] * 2, 3), _PAPER)
  image[padding[:, None] | padding] = to_rgb(plots.COLOURS["grid"])
  for series, mask in zip(plots.SERIES, parts.values(), strict=False):
    image[mask] = to_rgb(plots.COLOURS[series])
  return image


def _draw_panel(
    axes: plots.Axes,
    title: str,
    parts: Mapping[str, np.ndarray],
    segment_ids: np.ndarray,
) -> None:
  length = len(segment_ids)
  axes.imshow(paint(parts, segment_ids), interpolation="nearest")
  for start in np.flatnonzero(np.diff(segment_ids)) + 1:
    for line in (axes.axhline, axes.axvline):
      line(start - 0.5, color=plots.COLOURS["faint"], linewidth=0.6)
  axes.set_title(title, fontsize=8.5, color=plots.COLOURS["ink"], pad=4)
  axes.set_xticks(_middles(segment_ids), _names(segment_ids), fontsize=6.5)
  axes.set_yticks([])
  axes.tick_params(length=0, pad=2, colors=plots.COLOURS["muted"])
  axes.set(xlim=(-0.5, length - 0.5), ylim=(length - 0.5, -0.5))
  for spine in axes.spines.values():
    spine.set(color=plots.COLOURS["faint"], linewidth=0.6)
  if len(parts) > 1:
    # Above the diagonal between two segments nobody sees anybody.
    axes.legend(
        handles=[
            Patch(color=plots.COLOURS[series], label=name)
            for series, name in zip(plots.SERIES, parts, strict=False)
        ],
        loc="upper right",
        bbox_to_anchor=(_spans(segment_ids)[-1][0] / length, 1.0),
        borderaxespad=0.2,
        fontsize=6,
        handlelength=0.8,
        handleheight=0.8,
        borderpad=0.3,
        labelspacing=0.25,
        edgecolor="none",
        framealpha=1.0,
    )


def _spans(segment_ids: np.ndarray) -> list[tuple[int, int]]:
  cuts = [0, *(np.flatnonzero(np.diff(segment_ids)) + 1), len(segment_ids)]
  return list(zip(cuts[:-1], cuts[1:], strict=True))


def _middles(segment_ids: np.ndarray) -> list[float]:
  return [(start + end - 1) / 2 for start, end in _spans(segment_ids)]


def _names(segment_ids: np.ndarray) -> list[str]:
  """Padding is grey and narrow: it needs no word."""
  numbers = [segment_ids[start] for start, _ in _spans(segment_ids)]
  return [f"segment {number}" if number else "" for number in numbers]
