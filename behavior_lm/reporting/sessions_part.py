"""Sessions in the section about the logs: table, learned threshold, fit."""

from collections.abc import Mapping
import math
from typing import Any

import numpy as np

from behavior_lm.logs.gap_mixture import Mixture
from behavior_lm.reporting import data_figures
from behavior_lm.reporting import markup
from behavior_lm.reporting import plots
from behavior_lm.reporting.data_figures import time_text
from behavior_lm.reporting.markup import percent
from behavior_lm.reporting.page import figure_grid

# Thresholds that the table shows; the report has more.
_SHOWN = (10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 43_200)
_COLUMNS = {
    "threshold": "{name}",
    "sessions": "{sessions:,}",
    "sessions per sequence": "{per_sequence:,.1f}",
    "events per session, mean": "{mean:,.1f}",
    "p5": "{quantiles[p5]:,.0f}",
    "p50": "{quantiles[p50]:,.0f}",
    "p95": "{quantiles[p95]:,.0f}",
    "p99": "{quantiles[p99]:,.0f}",
}


def sessions_part(
    sessions: Mapping[str, Any] | None,
) -> tuple[markup.Markup, list[plots.Figure]]:
  """What stands on the page, and the figures in it.

  Nothing for a report without sessions, or one whose train split is empty.
  """
  if not sessions or not sessions["events"]:
    return markup.Markup(), []
  learned, at_learned = sessions["learned"], sessions["at_learned"]
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
  rows = [
      {"name": time_text(row["seconds"]), **row}
      for row in sessions["by_threshold"]
      if row["seconds"] in _SHOWN
  ]
  if at_learned is not None:
    near = time_text(at_learned["quantiles_at"])
    name = f"{time_text(at_learned['seconds'])}, learned (quantiles at {near})"
    rows.append({"name": name, **at_learned})
  for row in rows:
    row["per_sequence"] = row["sessions"] / sessions["sequences"]
  body = markup.join(
      markup.tag("h3", "Sessions"),
      markup.paragraph(
          f"{text} A session is a stretch of a sequence of train without a gap"
          " over the threshold."
      ),
      markup.records(sorted(rows, key=lambda row: row["seconds"]), _COLUMNS),
      figure_grid(figures),
  )
  return body, figures


def _figure(
    sessions: Mapping[str, Any], mixture: Mixture | None
) -> plots.Figure:
  edges = data_figures.edges_of(sessions["histogram"])
  counts = np.array([bar["count"] for bar in sessions["histogram"]])
  # Per factor of ten, so that bars of other widths compare.
  shares = counts / counts.sum() / np.diff(np.log10(edges))

  def paint(axes: plots.Axes) -> None:
    floor = data_figures.time_axis(axes, edges, shares)
    data_figures.paint_bars(axes, edges, shares, floor, "ramp1")
    if mixture is not None:
      at = np.geomspace(edges[0], edges[-1], 400)
      short, long = mixture.densities(np.log(at)) * math.log(10)
      both = short + long
      plots.lines(
          axes, {"short": (at, short), "long": (at, long), "both": (at, both)}
      )
      axes.axvline(mixture.threshold_seconds, color=plots.COLOURS["ink"])
    axes.set(
        xlabel="time to the next event", ylabel="share of gaps per factor of 10"
    )

  return plots.draw(
      "data_sessions",
      "Gaps and the learned threshold",
      f"{counts.sum():,} gaps above 0 inside the sequences of train. Lines are"
      " the two kinds of gaps that were fitted and their sum; the vertical"
      " line is the threshold, where the two cross.",
      paint,
  )
