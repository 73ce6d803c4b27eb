"""Sessions in the section about the logs: table, learned threshold, fit."""

from collections.abc import Mapping
import math
from typing import Any

import numpy as np

from behavior_lm.logs.gap_mixture import Mixture
from behavior_lm.reporting import markup
from behavior_lm.reporting import plots
from behavior_lm.reporting.data_figures import time_axis
from behavior_lm.reporting.data_figures import time_text
from behavior_lm.reporting.markup import Markup
from behavior_lm.reporting.markup import percent
from behavior_lm.reporting.page import figure_grid
from behavior_lm.reporting.plots import COLOURS

# A person compares a few thresholds; the report has more.
_SHOWN = (10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 43_200)
_QUANTILES = ("p5", "p50", "p95", "p99")


def sessions_part(
    sessions: Mapping[str, Any] | None,
) -> tuple[Markup, list[plots.Figure]]:
  """What stands on the page, and the figures in it.

  Nothing for a report without sessions, or one whose train split is empty.
  """
  if not sessions or not sessions["events"]:
    return Markup(), []
  learned = sessions["learned"]
  mixture = None if learned is None else Mixture.from_json(learned)
  figures = [_figure(sessions, mixture)] if sessions["histogram"] else []
  if mixture is None:
    text = f"No threshold was learned: {sessions['not_learned']}"
  else:
    short, long = map(time_text, mixture.medians)
    text = (
        "The gaps suggest that a pause of more than"
        f" {time_text(mixture.threshold_seconds)} ends a session:"
        f" {percent(mixture.weights[0])} of the gaps above 0 are short (median"
        f" {short}), {percent(mixture.weights[1])} are long (median {long})."
    )
  body = markup.join(
      markup.tag("h3", "Sessions"),
      markup.paragraph(text),
      _table(sessions),
      markup.paragraph(
          "A session is a stretch of a sequence of train without a gap over"
          " the threshold.",
          class_="note",
      ),
      figure_grid(figures),
  )
  return body, figures


def _table(sessions: Mapping[str, Any]) -> Markup:
  rows = [row for row in sessions["by_threshold"] if row["seconds"] in _SHOWN]
  names = {row["seconds"]: time_text(row["seconds"]) for row in rows}
  learned = sessions["at_learned"]
  if learned is not None:
    near = time_text(learned["quantiles_at"])
    names[learned["seconds"]] = (
        f"{time_text(learned['seconds'])}, learned (p5 to p99 are those at"
        f" {near})"
    )
    rows = sorted([*rows, learned], key=lambda row: row["seconds"])
  return markup.table(
      [
          "threshold", "sessions", "sessions per sequence",
          "events per session, mean", *_QUANTILES,
      ],
      [
          [
              names[row["seconds"]],
              f"{row['sessions']:,}",
              f"{row['sessions'] / sessions['sequences']:,.1f}",
              f"{row['mean']:,.1f}",
              *(
                  f"{row['quantiles'][name]:,.0f}"
                  if name in row["quantiles"]
                  else markup.NONE
                  for name in _QUANTILES
              ),
          ]
          for row in rows
      ],
  )


def _figure(
    sessions: Mapping[str, Any], mixture: Mixture | None
) -> plots.Figure:
  bars = sessions["histogram"]
  edges = [bar["from"] for bar in bars] + [bars[-1]["to"]]
  counts = np.array([bar["count"] for bar in bars])
  # Per factor of ten, so that bars of other widths compare.
  shares = counts / counts.sum() / np.diff(np.log10(edges))

  def paint(axes: plots.Axes) -> None:
    floor = time_axis(axes, edges, shares)
    axes.stairs(
        np.maximum(shares, floor),
        edges,
        baseline=floor,
        fill=True,
        color=COLOURS["ramp1"],
    )
    if mixture is not None:
      at = np.geomspace(edges[0], edges[-1], 400)
      short, long = mixture.densities(np.log(at)) * math.log(10)
      for line, colour, style, label in (
          (short, "blue", "--", "short"),
          (long, "orange", "-.", "long"),
          (short + long, "ink", "-", "both"),
      ):
        axes.plot(at, line, style, color=COLOURS[colour], label=label)
      axes.axvline(mixture.threshold_seconds, color=COLOURS["pink"])
      axes.legend(loc="upper right")
    axes.set_xlabel("time to the next event")
    axes.set_ylabel("share of gaps per factor of 10")

  caption = f"{counts.sum():,} gaps above 0 inside the sequences of train."
  if mixture is not None:
    caption += (
        " The lines are the two kinds of gaps that were fitted and their sum;"
        " at the vertical line,"
        f" {time_text(mixture.threshold_seconds)}, they cross."
    )
  return plots.draw(
      "data_sessions", "Gaps and the learned threshold", caption, paint
  )
