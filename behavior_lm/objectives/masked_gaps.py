"""Masked events with their time gaps: both are predicted in one pass."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from behavior_lm.common.rows import take_rows
from behavior_lm.objectives.gap_mixture import gap_nll
from behavior_lm.objectives.gap_mixture import mean_log_gap
from behavior_lm.objectives.masked_events import MaskedEvents
from behavior_lm.objectives.masked_events import State
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics

GAP_LOSSES = ("density", "regression")


@dataclasses.dataclass(frozen=True)
class MaskedGaps(MaskedEvents):
  """Predict masked events and the gaps that were hidden with them.

  The gap of an event is the one that the model reads there: the time to the
  next event, or since the previous one (`data.gap_kind`). The event and its gap
  are independent given what is visible.

  Attributes:
    event_weight, gap_weight: of both parts in the loss, in nats per masked
      event and per masked gap.
    gap_components: of the mixture over gaps that the model then has.
    gap_loss: "density", the negative log likelihood of the gap; "regression",
      half the squared error of log(gap + 1), as predicted by the mixture's
      mean. A regression does not train the widths of the mixture.
  """

  event_weight: float = 1.0
  gap_weight: float = 1.0
  gap_components: int = 8
  gap_loss: str = "density"

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.gap_loss not in GAP_LOSSES:
      raise ValueError(f"gap_loss {self.gap_loss!r}; known are {GAP_LOSSES}")
    if self.event_weight < 0 or self.gap_weight <= 0 or self.gap_components < 1:
      raise ValueError(
          f"event_weight {self.event_weight} must be at least 0, gap_weight"
          f" {self.gap_weight} above 0 and gap_components"
          f" {self.gap_components} at least 1"
      )

  def loss(
      self, model: Any, batch: Batch, state: State, key: jax.Array
  ) -> tuple[jax.Array, Metrics, State]:
    """The weighted sum of both parts.

    The metrics are those of `MaskedEvents.loss`, `event_loss` and `gap_loss`
    (the two parts) and `log_gap_error`, the mean absolute error of
    log(gap + 1).
    """
    head, targets = self.predict(model, batch, state, key)
    event_loss, metrics, state = self.event_loss(head, batch, targets, state)
    gaps = take_rows(batch["time_gaps"], targets["at"])
    known = targets["weights"] * (gaps >= 0)
    gaps = jnp.maximum(gaps, 0)
    mean = lambda x: (x * known).sum() / jnp.maximum(known.sum(), 1.0)
    error = mean_log_gap(head["gap_mixture"]) - jnp.log1p(gaps)
    if self.gap_loss == "density":
      gap_loss = mean(gap_nll(head["gap_mixture"], gaps))
    else:
      gap_loss = mean(error**2) / 2
    loss = self.event_weight * event_loss + self.gap_weight * gap_loss
    metrics |= {
        "loss": loss,
        "event_loss": event_loss,
        "gap_loss": gap_loss,
        "log_gap_error": mean(jnp.abs(error)),
    }
    return loss, metrics, state
