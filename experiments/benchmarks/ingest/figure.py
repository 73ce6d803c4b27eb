"""How time and memory of preparing a log grow with it, as a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.studies.results import save_figure

Row = Mapping[str, Any]


def draw(rows: Sequence[Row], path: Path) -> None:
  """Seconds and memory against events, one line a program and format; a PNG.

  Args:
    rows: of the results of experiments/benchmark.py ingest.
    path: of the figure.
  """
  figure = Figure(figsize=(11, 4.2), layout="constrained")
  time, memory = figure.subplots(1, 2)
  lines: dict[str, list[Row]] = {}
  for row in rows:
    lines.setdefault(f"{row['subject']}, {row['format']}", []).append(row)
  for name, measured in lines.items():
    found = sorted(measured, key=lambda row: row["events"])
    events = [row["events"] for row in found]
    style = "o-" if name.startswith("behavior_lm") else "x--"
    time.loglog(events, [row["seconds"] for row in found], style, label=name)
    memory.loglog(
        events, [row["peak_bytes"] / 1e6 for row in found], style, label=name
    )
  for axes, title, unit in (
      (time, "Time", "seconds"), (memory, "Peak memory", "MB")
  ):
    axes.set_title(title)
    axes.set_xlabel("events in the log")
    axes.set_ylabel(unit)
    axes.grid(alpha=0.3)
  memory.legend(fontsize=7)
  save_figure(figure, path, 110)
