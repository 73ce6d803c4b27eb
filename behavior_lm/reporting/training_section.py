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
from behavior_lm.reporting.plots import COLOURS

# Metrics of every run; others have their name as a title.
_TITLES = {
    "loss": "Loss",
    "learning_rate": "Learning rate",
    "events_per_second": "Events per second",
    "tokens_per_second": "Tokens per second",
}
# A smoothed point is the mean over this share of the run around it.
_WINDOW = 1 / 20
# From this ratio of the largest to the smallest value an axis is logarithmic.
_LOG_FROM = 20.0
Curve = tuple[np.ndarray, np.ndarray]


def training_section(
    metrics: Sequence[Mapping[str, float]], config: Mapping[str, Any]
) -> Section:
  """The curves of a run, as far as it is."""
  if not metrics:
    body = markup.paragraph("metrics.jsonl has no lines yet.")
    return Section("training", "Training", body)
  figures = training_figures(metrics)
  planned = config.get("total_steps")
  of = f" of {planned:,}" if isinstance(planned, int) else ""
  lost = sum(not math.isfinite(line.get("loss", 0.0)) for line in metrics)
  body = markup.join(
      markup.paragraph(
          f"{steps(metrics):,}{of} steps in"
          f" {markup.duration(seconds(metrics))}, {len(metrics):,} lines of"
          " metrics.jsonl. Each point of training is a mean over the steps"
          " since the line before. A smoothed curve is a moving mean over a"
          " twentieth of the run."
      ),
      markup.paragraph(
          f"The loss is not a finite number in {lost:,} lines: this run"
          " diverged. Those lines are not drawn. A lower learning rate or"
          " clip_norm is the first thing to try.",
          class_="notice",
      )
      if lost
      else None,
      figure_grid(figures),
  )
  return Section("training", "Training", body, figures)


def steps(metrics: Sequence[Mapping[str, float]]) -> int:
  """The step of the last line."""
  return int(metrics[-1]["step"])


def seconds(metrics: Sequence[Mapping[str, float]]) -> float:
  """Seconds of training up to the last line."""
  return max(line.get("seconds", 0.0) for line in metrics)


def training_figures(
    metrics: Sequence[Mapping[str, float]],
) -> list[plots.Figure]:
  """One figure per metric; "eval/NAME/METRIC" joins the one of METRIC."""
  names = dict.fromkeys(name for line in metrics for name in line)
  curves: dict[str, dict[str, Curve]] = {}
  for name in names:
    curve = series(metrics, name)
    if name in ("step", "seconds") or not len(curve[0]):
      continue
    source, metric = "", name
    if name.startswith("eval/"):
      source, _, metric = name.removeprefix("eval/").rpartition("/")
      source = source or "evaluation"
    curves.setdefault(metric, {})[source] = curve
  return [_figure(metric, found) for metric, found in curves.items()]


def series(metrics: Sequence[Mapping[str, float]], name: str) -> Curve:
  """Steps and finite values of one metric, [n] and [n]."""
  points = [
      (line["step"], line[name])
      for line in metrics
      if math.isfinite(line.get(name, math.nan))
  ]
  found, values = zip(*points, strict=True) if points else ((), ())
  return np.asarray(found), np.asarray(values, np.float64)


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
  title = _TITLES.get(metric, metric.replace("_", " "))

  def paint(axes: plots.Axes) -> None:
    evaluations = 0
    for source, (at, values) in curves.items():
      if not source:
        _paint_training(axes, at, values)
        continue
      axes.plot(
          at,
          values,
          color=COLOURS[plots.SERIES[(evaluations + 1) % 4]],
          marker=plots.MARKERS[(evaluations + 1) % 4],
          markersize=5,
          linewidth=1.2,
          label=plots.label_text(source),
      )
      evaluations += 1
    low, high = (
        choose(choose(values) for _, values in curves.values())
        for choose in (min, max)
    )
    if low > 0 and high / low > _LOG_FROM:
      plots.log_axis(axes, "y", low, high)
    else:
      axes.yaxis.set_major_formatter(plots.readable)
    axes.set_xlabel("step")
    axes.set_ylabel(plots.label_text(title))
    axes.xaxis.set_major_formatter(plots.readable)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    if len(axes.get_lines()) > 1 or evaluations:
      axes.legend(loc="best")

  facts = [
      f"{source or 'training'} ends at {values[-1]:.4g}"
      f" (lowest {values.min():.4g}, highest {values.max():.4g})"
      for source, (_, values) in curves.items()
  ]
  return plots.draw(
      plots.file_name("training", metric), title, "; ".join(facts) + ".", paint
  )


def _paint_training(
    axes: plots.Axes, at: np.ndarray, values: np.ndarray
) -> None:
  smoothed = smooth(values)
  # Few points are drawn as points: nothing was smoothed away.
  if len(values) < 2 / _WINDOW:
    axes.plot(at, values, "o-", color=COLOURS["blue"], label="training")
    return
  axes.plot(
      at, values, color=COLOURS["faint"], linewidth=0.8, label="each log line"
  )
  axes.plot(at, smoothed, color=COLOURS["blue"], label="smoothed")
