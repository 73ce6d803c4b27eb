"""Several objectives at once: the weighted sum of their losses."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import Objective
from behavior_lm.objectives.objective import Requires


@dataclasses.dataclass(frozen=True)
class WeightedSum:
  """Trains one model with several objectives; each calls it on its own.

  Attributes:
    members: name -> (weight in the loss, objective).

  Raises:
    ValueError: if a weight is negative, or one member reads what another one
      must not see.
  """

  members: dict[str, tuple[float, Objective]]

  def __post_init__(self) -> None:
    for name, (weight, _) in self.members.items():
      if weight < 0:
        raise ValueError(f"{name}.weight is {weight}; give 0 or more")
    which = lambda trait: [
        name
        for name, (_, member) in self.members.items()
        if getattr(member.requires, trait)
    ]
    future, hidden = which("predicts_future"), which("hides_events")
    if future and hidden:
      raise ValueError(
          f"{hidden[0]} reads both sides of an event and {future[0]} its past"
          " alone: one model cannot do both. Train two runs"
      )

  @property
  def requires(self) -> Requires:
    all_of = [member.requires for _, member in self.members.values()]
    return Requires(
        tuple(dict.fromkeys(name for one in all_of for name in one.fields)),
        predicts_future=any(one.predicts_future for one in all_of),
        hides_events=any(one.hides_events for one in all_of),
        hides_past=any(one.hides_past for one in all_of),
        parts_windows=any(one.parts_windows for one in all_of),
    )

  def init_state(self) -> dict[str, Any]:
    """The state of each member, by its name."""
    return {
        name: member.init_state() for name, (_, member) in self.members.items()
    }

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """The weighted sum; the metrics of a member are NAME/METRIC."""
    total, new_state = jnp.zeros(()), {}
    metrics: Metrics = {}
    for place, (name, (weight, member)) in enumerate(self.members.items()):
      loss, found, new_state[name] = member.loss(
          model, batch, state[name], jax.random.fold_in(key, place)
      )
      total += weight * loss
      if "padding_share" in found:  # It is the batch's, not the member's.
        metrics["padding_share"] = found.pop("padding_share")
      metrics |= {f"{name}/{metric}": value for metric, value in found.items()}
    return total, metrics | {"loss": total}, new_state
