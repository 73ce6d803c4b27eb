"""The section about training: a curve per metric of metrics.jsonl."""

from collections.abc import Mapping, Sequence
import math
from typing import Any

from matplotlib.ticker import MaxNLocator
import numpy as np

from behavior_lm.reporting import markup
from behavior_lm.reporting import plots
from behavior_lm.reporting.page import figure_grid
from behavior_lm.reporting.page import Section

# A smoothed point is the mean over this share of the run around it.
_WINDOW = 1 / 20
# From this ratio of the largest to the smallest value an axis is logarithmic.
_LOG_FROM = 20.0
_RAW = "each log line"
Curve = tuple[np.ndarray, np.ndarray]
Metrics = Sequence[Mapping[str, float]]


def training_section(metrics: Metrics, config: Mapping[str, Any]) -> Section:
  """The curves of a run, as far as it is."""
  if not metrics:
    missing = markup.paragraph("metrics.jsonl has no lines yet.")
    return Section("training", "Training", missing)
  figures = training_figures(metrics)
  planned = config.get("total_steps")
  of = f" of {planned:,}" if isinstance(planned, int) else ""
  steps, spent = progress(metrics)
  lost = sum(not math.isfinite(line.get("loss", 0.0)) for line in metrics)
  diverged = None
  if lost:
    diverged = markup.paragraph(
        f"The loss is not a finite number in {lost:,} lines: this run diverged."
        " Those lines are not drawn. A lower learning rate or clip_norm is the"
        " first thing to try.",
        class_="notice",
    )
  body = markup.join(
      markup.paragraph(
          f"{steps}{of} steps in {spent}, {len(metrics):,} lines of"
          " metrics.jsonl. Each point of training is a mean over the steps"
          " since the line before. A smoothed curve is a moving mean over a"
          " twentieth of the run."
      ),
      diverged,
      figure_grid(figures),
  )
  return Section("training", "Training", body, figures)


def progress(metrics: Metrics) -> tuple[str, str]:
  """The step of the last line and the time until then, as text."""
  seconds = max(line.get("seconds", 0.0) for line in metrics)
  return f"{int(metrics[-1]['step']):,}", markup.duration(seconds)


def training_figures(metrics: Metrics) -> list[plots.Figure]:
  """One figure per metric; "eval/NAME/METRIC" joins the one of METRIC."""
  curves: dict[str, dict[str, Curve]] = {}
  for name in dict.fromkeys(name for line in metrics for name in line):
    at, values = series(metrics, name)
    if name in ("step", "seconds") or not len(at):
      continue
    if name.startswith("eval/"):
      source, _, metric = name.removeprefix("eval/").rpartition("/")
      curves.setdefault(metric, {})[source or "evaluation"] = at, values
    elif len(at) < 2 / _WINDOW:
      curves.setdefault(name, {})["training"] = at, values
    else:
      curves.setdefault(name, {})["smoothed"] = at, smooth(values)
      curves[name][_RAW] = at, values
  return [_figure(metric, found) for metric, found in curves.items()]


def series(metrics: Metrics, name: str) -> Curve:
  """Steps and finite values of one metric, [n] and [n]."""
  lines = [
      line for line in metrics if math.isfinite(line.get(name, math.nan))
  ]
  steps = np.array([line["step"] for line in lines])
  return steps, np.array([line[name] for line in lines], np.float64)


def smooth(values: np.ndarray) -> np.ndarray:
  """Centred moving mean over a twentieth of the run; shorter at the ends.

  Args:
    values: [n].

  Returns:
    [n], the values themselves if there are fewer than 40.
  """
  half = int(len(values) * _WINDOW / 2)
  sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
  place = np.arange(len(values))
  # As far to one side as to the other, so that a slope is no bias.
  reach = np.minimum(half, np.minimum(place, len(values) - 1 - place))
  return (sums[place + reach + 1] - sums[place - reach]) / (2 * reach + 1)


def _figure(metric: str, curves: Mapping[str, Curve]) -> plots.Figure:
  title = plots.label_text(metric.replace("_", " "))
  low = min(values.min() for _, values in curves.values())
  high = max(values.max() for _, values in curves.values())

  def paint(axes: plots.Axes) -> None:
    plots.lines(axes, curves, faint=_RAW)
    axes.set(xlabel="step", ylabel=title)
    axes.yaxis.set_major_formatter(plots.readable)
    axes.xaxis.set_major_formatter(plots.readable)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    if low > 0 and high / low > _LOG_FROM:
      plots.log_axis(axes, "y", low, high)

  ends = [
      f"{name} {values[-1]:.4g}"
      for name, (_, values) in curves.items()
      if name != _RAW
  ]
  caption = f"From {low:.4g} to {high:.4g}; at the end {', '.join(ends)}."
  name = plots.file_name("training", metric)
  return plots.draw(name, title, caption, paint)
