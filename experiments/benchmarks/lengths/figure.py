"""How speed and memory of a training step change with the length: a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from matplotlib.ticker import StrMethodFormatter

from experiments.studies.results import save_figure

Row = Mapping[str, Any]


def draw(rows: Sequence[Row], path: Path) -> None:
  """Tokens a second and scratch memory against the length; a PNG.

  Args:
    rows: of the results of experiments/benchmark.py lengths. Points that were
      only compiled have memory, and no speed.
    path: of the figure.
  """
  figure = Figure(figsize=(11, 4.2), layout="constrained")
  speed, memory = figure.subplots(1, 2)
  lines: dict[str, list[Row]] = {}
  for row in rows:
    lines.setdefault(row["case"]["model"], []).append(row)
  for name, measured in lines.items():
    found = sorted(measured, key=lambda row: row["case"]["length"])
    ran = [row for row in found if row["tokens_per_second"]]
    speed.loglog(
        [row["case"]["length"] for row in ran],
        [row["tokens_per_second"] for row in ran],
        "o-",
        label=name,
    )
    memory.semilogx(
        [row["case"]["length"] for row in found],
        [
            row["program_bytes"]["scratch"]
            / (row["case"]["batch_size"] * row["case"]["length"])
            / 1e3
            for row in found
        ],
        "o-",
        label=name,
    )
  lengths = sorted({row["case"]["length"] for row in rows})
  for axes, title, unit in (
      (speed, "Speed", "tokens a second"),
      (memory, "Scratch memory", "KB a token"),
  ):
    axes.set_title(title)
    axes.set_xlabel("tokens in a row")
    axes.set_ylabel(unit)
    axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
  speed.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
  speed.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
  # From 0: a token needs as much, whatever the length, where a line is flat.
  memory.set_ylim(bottom=0)
  memory.legend(fontsize=7, loc="lower left")
  save_figure(figure, path, 110)
