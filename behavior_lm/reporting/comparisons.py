"""Figures of the evaluation and the probe: points with their intervals."""

from collections.abc import Sequence
import dataclasses
import textwrap

from behavior_lm.reporting import plots
from behavior_lm.reporting.plots import LIGHT
from behavior_lm.reporting.records import Evaluation
from behavior_lm.reporting.records import Probe

_WIDTH = 5.0  # inches; wider ones are too small on a phone
_MOST_LINES = 40


@dataclasses.dataclass(frozen=True)
class _Line:
  name: str
  value: float
  interval: tuple[float, float] | None
  colour: str
  marker: str


def bits_figure(evaluation: Evaluation) -> plots.Figure:
  """Bits a raw event of each row, the best first."""
  rows = sorted(evaluation.rows, key=lambda row: row.bits)[:_MOST_LINES]
  lines = [
      _Line(
          row.model if row.seed is None else f"{row.model}, seed {row.seed}",
          row.bits,
          row.interval,
          "muted" if row.is_baseline else "blue",
          "s" if row.is_baseline else "o",
      )
      for row in rows
  ]
  baselines = [
      row.bits for row in evaluation.rows if row.is_baseline and row.is_fair
  ]
  return _points(
      "evaluation_bits",
      "Bits per raw event",
      "Bits needed to write down a masked event: further left is better. Bars"
      " are 95 % intervals; circles are models, squares are counts. The dashed"
      " line is the best count model that sees no more than the models do. An"
      " arrow stands for a value further right.",
      lines,
      "bits per raw event",
      min(baselines, default=None),
  )


def probe_figure(probe: Probe) -> plots.Figure:
  """AUC of each label by features."""
  labels = list(dict.fromkeys(row.label for row in probe.rows))
  lines = [
      _Line(
          f"{row.label}: {row.features}",
          row.auc,
          row.interval,
          plots.SERIES[labels.index(row.label) % 4],
          plots.MARKERS[labels.index(row.label) % 4],
      )
      for row in sorted(
          probe.rows, key=lambda row: (labels.index(row.label), -row.auc)
      )[:_MOST_LINES]
  ]
  return _points(
      "probe_auc",
      "Area under the ROC curve",
      "Chance that a user with the label gets a higher score than one without:"
      " 0.5 is guessing (dashed), 1 is perfect. Bars are 95 % intervals.",
      lines,
      "AUC",
      0.5,
  )


def _points(
    name: str,
    title: str,
    caption: str,
    lines: Sequence[_Line],
    axis: str,
    mark: float | None,
) -> plots.Figure:
  end = _end([line.value for line in lines])

  def paint(axes: plots.Axes) -> None:
    places = range(len(lines))[::-1]
    for place, line in zip(places, lines, strict=True):
      if line.value > end:
        axes.plot(end, place, color=LIGHT[line.colour], marker=">")
        continue
      if line.interval:
        axes.plot(
            line.interval,
            (place, place),
            color=LIGHT[line.colour],
            linewidth=2.4,
            solid_capstyle="butt",
        )
      axes.plot(
          line.value,
          place,
          color=LIGHT[line.colour],
          marker=line.marker,
          markersize=7,
      )
    # Beside the axes, where no line crosses the digits.
    for place, line in zip(places, lines, strict=True):
      axes.text(
          1.02,
          place,
          f"{line.value:.3f}",
          transform=axes.get_yaxis_transform(),
          va="center",
      )
    if mark is not None:
      axes.axvline(mark, color=LIGHT["muted"], linestyle="--", linewidth=1)
    names = [
        textwrap.fill(plots.label_text(line.name), 22) for line in lines
    ]
    axes.set_yticks(places, names)
    axes.set_ylim(-0.6, len(lines) - 0.4)
    axes.tick_params(axis="y", length=0, labelcolor=LIGHT["ink"])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(axis)
    axes.margins(x=0.08)

  height = 0.8 + 0.4 * len(lines)
  return plots.draw(name, title, caption, paint, (_WIDTH, height))


def _end(values: Sequence[float]) -> float:
  """Where the axis ends: what lies far off would press the rest together."""
  ordered = sorted(values)
  end = ordered[-1]
  if len(ordered) > 2:
    span = ordered[-2] - ordered[0]
    if end > ordered[-2] + span:
      end = ordered[-2] + 0.25 * span
  return end
