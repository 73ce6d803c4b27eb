"""A user's last events, and what each adds to a prediction."""

import numpy as np
import polars as pl

from behavior_lm.logs import schema
from behavior_lm.reporting import plots

# Events that are named in the figure: those that add or take most.
NAMED = 8


def draw_attribution(events: pl.DataFrame) -> plots.Figure:
  """One bar per event, in order; the largest are named.

  Args:
    events: rows of one user of `downstream.explain.explain_users`. Where they
      have a surprise, it is a line with an axis of its own.
  """
  label = events["label"].item(0)
  values = events["attribution"].to_numpy()
  names = events["token"].to_list()
  first, last = (
      events[schema.TIMESTAMP].dt.strftime("%Y-%m-%d %H:%M").item(place)
      for place in (0, -1)
  )
  prediction = events["prediction"].item(0)
  baseline = events["baseline"].item(0)

  def paint(axes: plots.Axes) -> None:
    x = np.arange(len(values))
    for sign, colour, text in (
        (1, "orange", "adds"), (-1, "blue", "takes away")
    ):
      own = sign * values > 0
      if not own.any():
        continue
      axes.bar(
          x[own],
          values[own],
          # Bars of long histories stay wide enough to be seen.
          width=max(0.8, len(values) / 400),
          color=plots.COLOURS[colour],
          label=text,
      )
    for place in np.argsort(-np.abs(values))[:NAMED]:
      up = values[place] >= 0
      axes.annotate(
          plots.label_text(names[place]),
          (x[place], values[place]),
          xytext=(0, 2 if up else -2),
          textcoords="offset points",
          ha="left" if up else "right",
          va="bottom" if up else "top",
          rotation=60,
          rotation_mode="anchor",
          fontsize=7,
      )
    axes.axhline(0, color=plots.COLOURS["faint"], linewidth=0.8)
    axes.margins(y=0.35)
    axes.set(
        xlabel=f"events from {first} to {last}",
        ylabel=f"contribution to {plots.label_text(label)}",
    )
    axes.legend(loc="best")
    if "surprise" in events:
      of_surprise = axes.twinx()
      of_surprise.plot(
          x,
          events["surprise"].to_numpy(),
          color=plots.COLOURS["muted"],
          linewidth=0.8,
      )
      of_surprise.grid(False)
      # In the lower half, away from the names above the bars.
      of_surprise.set(ylabel="surprise in bits (line)", ylim=(0, None))
      of_surprise.set_ylim(top=2 * of_surprise.get_ylim()[1])

  return plots.draw(
      "attribution",
      f"What carries {label}",
      f"Integrated gradients of the output: it is {prediction:.2f} for these"
      f" events and {baseline:.2f} with all of them hidden; the bars and the"
      " share of CLS, the first, add up to the difference. Orange bars add to"
      " the output, blue ones take away from it.",
      paint,
      size=(9.0, 3.6),
  )
