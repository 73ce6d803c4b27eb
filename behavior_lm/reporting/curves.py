"""Training curves from metrics.jsonl."""

import math

from matplotlib.ticker import MaxNLocator
import numpy as np

from behavior_lm.reporting import plots
from behavior_lm.reporting.plots import LIGHT

# A smoothed point is the mean over this share of the run around it.
_WINDOW = 1 / 20
_EVALUATED = "evaluated on held-out days"


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


def series(
    metrics: list[dict[str, float]], name: str
) -> tuple[np.ndarray, np.ndarray]:
  """Steps and finite values of one metric, [n] and [n]."""
  points = [
      (line["step"], line[name])
      for line in metrics
      if math.isfinite(line.get(name, math.nan))
  ]
  steps, values = zip(*points, strict=True) if points else ((), ())
  return np.asarray(steps), np.asarray(values, np.float64)


def lost_lines(metrics: list[dict[str, float]]) -> int:
  """Number of lines whose loss is not finite."""
  return sum(
      "loss" in line and not math.isfinite(line["loss"]) for line in metrics
  )


def training_figures(metrics: list[dict[str, float]]) -> list[plots.Figure]:
  """Perplexity, accuracy, speed and learning rate by step; [] if nothing."""
  figures = []
  for make in (_perplexity, _accuracy, _speed, _learning_rate):
    figure = make(metrics)
    if figure:
      figures.append(figure)
  return figures


def _perplexity(metrics: list[dict[str, float]]) -> plots.Figure | None:
  steps, loss = series(metrics, "loss")
  if not len(steps):
    return None
  # More than this is not a perplexity that anybody reads off an axis.
  loss = np.minimum(loss, 50.0)
  eval_steps, evaluated = series(metrics, "eval/perplexity")

  def paint(axes: plots.Axes) -> None:
    _raw_and_smooth(axes, steps, np.exp(loss), np.exp(smooth(loss)))
    _evaluations(axes, eval_steps, evaluated)
    drawn = np.concatenate([np.exp(loss), evaluated])
    plots.log_axis(axes, "y", drawn.min(), drawn.max())
    axes.set_ylabel("perplexity")
    _finish(axes)

  return plots.draw(
      "training_perplexity",
      "Perplexity of masked events",
      "Among how many equally likely tokens the model hesitates at a masked"
      " place; 1 is certainty. The loss, in nats, is its logarithm"
      f" ({loss[0]:.2f} at the first line, {loss[-1]:.2f} at the last), so the"
      " logarithmic axis shows both. If it still falls at the end, longer"
      " training would pay.",
      paint,
  )


def _accuracy(metrics: list[dict[str, float]]) -> plots.Figure | None:
  steps, accuracy = series(metrics, "accuracy")
  if not len(steps):
    return None
  eval_steps, evaluated = series(metrics, "eval/accuracy")

  def paint(axes: plots.Axes) -> None:
    _raw_and_smooth(axes, steps, accuracy, smooth(accuracy))
    _evaluations(axes, eval_steps, evaluated)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(plots.percent_ticks)
    axes.set_ylabel("accuracy")
    _finish(axes)

  return plots.draw(
      "training_accuracy",
      "Accuracy on masked events",
      "Share of masked places where the token held most likely is the true"
      " one. Measured on the batches being learnt from, before each update.",
      paint,
  )


def _speed(metrics: list[dict[str, float]]) -> plots.Figure | None:
  steps, speed = series(metrics, "events_per_second")
  if not len(steps):
    return None

  def paint(axes: plots.Axes) -> None:
    _raw_and_smooth(axes, steps, speed, smooth(speed))
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(plots.readable)
    axes.set_ylabel("events / s")
    _finish(axes)

  return plots.draw(
      "training_speed",
      "Speed",
      f"Log events read a second; the median is {np.median(speed):,.0f}. The"
      " first lines hold the time to compile, dips are checkpoints,"
      " evaluations or other programs on the machine.",
      paint,
  )


def _learning_rate(metrics: list[dict[str, float]]) -> plots.Figure | None:
  steps, rate = series(metrics, "learning_rate")
  if not len(steps):
    return None

  def paint(axes: plots.Axes) -> None:
    axes.plot(steps, rate, color=LIGHT["blue"], linewidth=1.8)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(plots.readable)
    axes.set_ylabel("learning rate")
    _finish(axes)

  return plots.draw(
      "training_learning_rate",
      "Learning rate",
      f"It warms up, then decays; the highest is {rate.max():.3g}.",
      paint,
  )


def _raw_and_smooth(
    axes: plots.Axes, steps: np.ndarray, raw: np.ndarray, smoothed: np.ndarray
) -> None:
  # Few points are drawn as points: nothing was smoothed away.
  few = np.array_equal(raw, smoothed) or len(steps) < 40
  axes.plot(
      steps,
      raw,
      color=LIGHT["blue" if few else "faint"],
      linewidth=1.6 if few else 0.8,
      marker="o" if few else "",
      markersize=4,
      label="training" if few else "each log line",
  )
  if not few:
    axes.plot(
        steps, smoothed, color=LIGHT["blue"], linewidth=1.8, label="smoothed"
    )


def _evaluations(
    axes: plots.Axes, steps: np.ndarray, values: np.ndarray
) -> None:
  if len(steps):
    axes.plot(
        steps,
        values,
        color=LIGHT["orange"],
        linewidth=1.2,
        marker="D",
        markersize=5,
        label=_EVALUATED,
    )


def _finish(axes: plots.Axes) -> None:
  axes.set_xlabel("step")
  axes.xaxis.set_major_formatter(plots.readable)
  axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
  if len(axes.get_lines()) > 1:
    axes.legend(loc="best")
