"""Sessions in the section about the logs: table, learned threshold, fit."""

import math

import numpy as np

from behavior_lm.logs.gap_mixture import Mixture
from behavior_lm.reporting import markup
from behavior_lm.reporting import plots
from behavior_lm.reporting.distributions import time_text
from behavior_lm.reporting.distributions import time_ticks
from behavior_lm.reporting.markup import count
from behavior_lm.reporting.markup import join
from behavior_lm.reporting.markup import Markup
from behavior_lm.reporting.markup import paragraph
from behavior_lm.reporting.markup import percent
from behavior_lm.reporting.plots import LIGHT
from behavior_lm.reporting.section import figure_grid
from behavior_lm.reporting.session_record import Sessions
from behavior_lm.reporting.session_record import Threshold

# A person compares a few; the report has all.
_SHOWN = (10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 43_200)
_QUANTILES = ("p5", "p50", "p95", "p99")


def sessions_part(
    sessions: Sessions | None,
) -> tuple[Markup, list[plots.Figure]]:
  """What stands on the page, and the figures in it.

  Nothing for a dataset that was prepared before sessions were counted, or one
  whose train split is empty.
  """
  if sessions is None or not sessions.events:
    return Markup(""), []
  figures = [_figure(sessions)] if sessions.bars else []
  return (
      join(
          markup.tag("h3", "Sessions"),
          paragraph(_learned(sessions)),
          _table(sessions),
          paragraph(
              "A session is a stretch of a sequence of train without a gap over"
              " the threshold.",
              class_="note",
          ),
          figure_grid(figures),
      ),
      figures,
  )


def _learned(sessions: Sessions) -> str:
  mixture = sessions.learned
  if mixture is None:
    return f"No threshold was learned: {sessions.not_learned}"
  short, long = mixture.medians
  return (
      "The gaps suggest that a pause of more than"
      f" {time_text(mixture.threshold_seconds)} ends a session. They are taken"
      f" for two kinds: {percent(mixture.weights[0])} are short (median"
      f" {time_text(short)}), {percent(mixture.weights[1])} long (median"
      f" {time_text(long)}); ties are left out, and a gap counts by the square"
      " root of its length."
  )


def _table(sessions: Sessions) -> Markup:
  chosen = [row for row in sessions.by_threshold if row.seconds in _SHOWN]
  names = [time_text(row.seconds) for row in chosen]
  learned = sessions.at_learned
  if learned is not None and sessions.quantiles_at is not None:
    place = sum(row.seconds < learned.seconds for row in chosen)
    near = time_text(sessions.quantiles_at)
    chosen.insert(place, learned)
    names.insert(
        place, f"{time_text(learned.seconds)}, learned (p5 to p99: of {near})"
    )
  return markup.table(
      [
          "threshold", "sessions", "sessions a sequence",
          "events a session, mean", *_QUANTILES,
      ],
      [
          [
              name,
              count(row.sessions),
              f"{row.sessions / sessions.sequences:,.1f}",
              f"{row.mean:,.1f}",
              *(_quantile(row, quantile) for quantile in _QUANTILES),
          ]
          for name, row in zip(names, chosen, strict=True)
      ],
  )


def _quantile(row: Threshold, name: str) -> str:
  return f"{row.quantiles[name]:,.0f}" if name in row.quantiles else "–"


def _figure(sessions: Sessions) -> plots.Figure:
  low = np.log10([bar.low for bar in sessions.bars])
  width = np.log10([bar.high for bar in sessions.bars]) - low
  counts = np.array([bar.count for bar in sessions.bars])
  # Per factor of ten, so that bars of other widths compare.
  shares = counts / counts.sum() / width
  floor = 10.0 ** math.floor(math.log10(shares.min()) - 0.3)
  mixture = sessions.learned

  def paint(axes: plots.Axes) -> None:
    axes.bar(
        low,
        np.maximum(shares - floor, 0),
        bottom=floor,
        width=width,
        align="edge",
        color=LIGHT["ramp1"],
    )
    if mixture is not None:
      _paint_fit(axes, mixture, float(low[0]), float((low + width)[-1]))
      axes.legend(loc="upper right")
    axes.set_yscale("log")
    axes.set_ylim(floor, 10 * shares.max())
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(plots.percent_ticks)
    axes.grid(visible=False, axis="x")
    ticks = time_ticks(low, width)
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlabel("time to the next event")
    axes.set_ylabel("share of gaps per factor of 10")

  caption = (
      "Gaps above 0 inside the sequences of train, both axes logarithmic"
      f" ({counts.sum():,} gaps)."
  )
  if mixture is not None:
    caption += (
        " The lines are the two kinds of gaps that were fitted and their sum;"
        " where they cross, at"
        f" {time_text(mixture.threshold_seconds)}, a gap is as likely the one"
        " as the other. What the bars show and the sum does not is not told"
        " by two kinds."
    )
  return plots.draw(
      "data_sessions", "Gaps and the learned threshold", caption, paint
  )


def _paint_fit(
    axes: plots.Axes, mixture: Mixture, low: float, high: float
) -> None:
  places = np.linspace(low, high, 400)
  parts = mixture.densities(places * math.log(10)) * math.log(10)
  for part, colour, style, label in zip(
      (*parts, parts.sum(0)),
      ("blue", "orange", "ink"),
      ("--", "-.", "-"),
      ("short", "long", "both"),
      strict=True,
  ):
    axes.plot(
        places,
        part,
        color=LIGHT[colour],
        linestyle=style,
        linewidth=1.5,
        label=label,
    )
  axes.axvline(
      math.log10(mixture.threshold_seconds), color=LIGHT["pink"], linewidth=1.5
  )
