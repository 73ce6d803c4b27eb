"""Recall of LSH by rounds of hashing: a figure and a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from behavior_lm.common.markdown import table
from behavior_lm.reporting import plots

Row = Mapping[str, Any]


def draw_recall(rows: Sequence[Row]) -> bytes:
  """Lines of the mean with the range of seeds, one a kind of vectors; a PNG.

  Args:
    rows: of `evaluation.lsh_recall.study`.
  """

  def paint(axes: plots.Axes) -> None:
    for place, name in enumerate(_kinds(rows)):
      found = [row for row in rows if row["vectors"] == name]
      rounds = [row["rounds"] for row in found]
      colour = plots.COLOURS[plots.SERIES[place]]
      axes.plot(
          rounds,
          [row["recall"] for row in found],
          marker=plots.MARKERS[place],
          markersize=5,
          color=colour,
          linewidth=1.6,
          label=name,
          clip_on=False,
      )
      axes.fill_between(
          rounds,
          [row["low"] for row in found],
          [row["high"] for row in found],
          color=colour,
          alpha=0.2,
          linewidth=0,
      )
    ticks = sorted({row["rounds"] for row in rows})
    # Nearly the same for all kinds of vectors.
    seen = [
        np.mean([row["keys_seen"] for row in rows if row["rounds"] == tick])
        for tick in ticks
    ]
    axes.plot(ticks, seen, ":", color=plots.COLOURS["muted"], label="by chance")
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(plots.percent_ticks)
    axes.set_xlabel("rounds of hashing")
    axes.set_ylabel("best keys found")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))

  figure = plots.draw("lsh_recall", "Recall of LSH", "", paint, size=(7.0, 3.2))
  return figure.png


def recall_table(rows: Sequence[Row]) -> str:
  """Markdown: kinds of vectors down, rounds across."""
  ticks = sorted({row["rounds"] for row in rows})
  cells = {(row["vectors"], row["rounds"]): row for row in rows}
  lines = []
  for name in _kinds(rows):
    found = [cells[name, n] for n in ticks]
    seen = [f"{100 * row['keys_seen']:.1f} %" for row in found]
    lines += [[name, *map(_cell, found)], ["— by chance", *seen]]
  return table(["vectors", *map(_rounds, ticks)], lines)


def _kinds(rows: Sequence[Row]) -> list[str]:
  return list(dict.fromkeys(row["vectors"] for row in rows))


def _rounds(number: int) -> str:
  return f"{number} round{'s' if number > 1 else ''}"


def _cell(row: Row) -> str:
  low, high = 100 * row["low"], 100 * row["high"]
  return f"{100 * row['recall']:.1f} % ({low:.1f} to {high:.1f})"
