"""The study of encoders as a figure: what they reached, and how fast."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.studies.results import save_figure


def draw(result: Mapping[str, Any], path: Path) -> None:
  """For each tokenizer bits per event and loss against minutes; a PNG.

  Args:
    result: of experiments/studies/encoders/run.py.
    path: of the figure.
  """
  groups = result["groups"]
  figure = Figure(figsize=(11, 4.2 * len(groups)), layout="constrained")
  panels = figure.subplots(len(groups), 2, squeeze=False)
  for group, (points, curves) in zip(groups, panels, strict=True):
    runs = [row for row in group["rows"] if "run" in row]
    _points(points, group["rows"], len(runs))
    for place, row in enumerate(runs):
      curves.plot(
          [point["minutes"] for point in row["curve"]],
          [point["loss"] for point in row["curve"]],
          color=f"C{place % 10}",
          linestyle="-" if place < 10 else "--",
          linewidth=1.2,
          label=row["model"],
      )
    curves.set_xlabel("minutes of training steps")
    curves.set_ylabel("training loss, nats a token")
    curves.set_title(f"{group['tokens']} tokens: training")
    curves.legend(fontsize=8)
    curves.grid(alpha=0.3)
  save_figure(figure, path, 120)


def _points(axes: Axes, rows: list[Mapping[str, Any]], num_runs: int) -> None:
  """Bits of each row with their interval; the unigram's would hide the rest."""
  shown = [row for row in rows if row["model"] != "unigram"]
  for place, row in enumerate(shown):
    bits = row["values"]["bits_per_event"]
    low, high = row.get("ci", {}).get("bits_per_event", [bits, bits])
    colour = f"C{place % 10}" if place < num_runs else "0.4"
    axes.plot([low, high], [place, place], color=colour, linewidth=1.5)
    axes.plot(bits, place, "o", color=colour)
  axes.set_yticks(range(len(shown)), [row["model"] for row in shown])
  axes.invert_yaxis()
  axes.set_xlabel("bits per raw event (95 % over users)")
  axes.set_title("Hidden events of later days")
  axes.grid(alpha=0.3, axis="x")
