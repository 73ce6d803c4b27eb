"""Which checkpoint is the best so far, and when to stop looking."""

from collections.abc import Mapping
import math
from typing import Any

from behavior_lm.common.errors import UserError

MODES = ("min", "max")


class Selection:
  """Follows one figure of the evaluations while training.

  Args:
    metric: "EVALUATOR/FIGURE", such as "valid/bits_per_event"; empty follows
      nothing.
    mode: "min" or "max": which value is better.
    patience: evaluations without a better value until the run stops; 0 is
      never.
    content: of `to_json`, to go on with.
  """

  def __init__(
      self,
      metric: str,
      mode: str = "min",
      patience: int = 0,
      content: Mapping[str, Any] | None = None,
  ) -> None:
    if mode not in MODES:
      raise UserError(f"keep_best.mode is {mode!r}; known are {MODES}.")
    self.metric, self.mode, self.patience = metric, mode, patience
    content = content or {"value": None, "step": 0, "waited": 0}
    self.value: float | None = content["value"]
    self.step: int = content["step"]
    self.waited: int = content["waited"]

  def check(self, cadences: Mapping[str, int]) -> None:
    """Raises UserError if the figure will never be measured.

    Args:
      cadences: {evaluator: steps between two evaluations, 0 is never}.
    """
    name = self.metric.partition("/")[0]
    if self.metric and not cadences.get(name):
      raise UserError(
          f"keep_best.metric is {self.metric!r}, but there is no evaluator"
          f" {name!r} that runs while training. Give it a cadence, such as"
          f" --config.evals.{name}.every=500, or leave keep_best.metric empty."
      )

  def see(self, step: int, name: str, figures: Mapping[str, float]) -> bool:
    """Takes the figures of one evaluator; True if they are the best so far.

    Raises:
      UserError: if the evaluator has no such figure.
    """
    owner, _, figure = self.metric.partition("/")
    if owner != name or not self.metric:
      return False
    if figure not in figures:
      raise UserError(
          f"keep_best.metric is {self.metric!r}, but {name} measures"
          f" {', '.join(sorted(figures))}."
      )
    value = float(figures[figure])
    sign = 1 if self.mode == "min" else -1
    better = self.value is None or sign * value < sign * self.value
    if math.isnan(value) or not better:
      self.waited += 1
      return False
    self.value, self.step, self.waited = value, step, 0
    return True

  @property
  def is_over(self) -> bool:
    """Whether patience has run out."""
    return 0 < self.patience <= self.waited

  def to_json(self) -> dict[str, Any]:
    return {"value": self.value, "step": self.step, "waited": self.waited}
