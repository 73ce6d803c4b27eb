"""What a training loss is to the training loop."""

from collections.abc import Mapping
import dataclasses
from typing import Any, Protocol

import jax

Batch = Mapping[str, jax.Array]
Metrics = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Requires:
  """What an objective asks of the data and the model.

  Attributes:
    fields: names of `data.fields` that it reads itself.
    predicts_future: nothing that the model reads at a position may depend on
      a later event.
    hides_events: what it hides of an event must not follow from other fields.
    hides_past: it bounds how far back a token sees, which dense attention alone
      can.
    parts_windows: it takes windows apart, and what a model reads beside tokens
      and gaps must not tell which parts belong together.
  """

  fields: tuple[str, ...]
  predicts_future: bool = False
  hides_events: bool = False
  hides_past: bool = False
  parts_windows: bool = False


def padding_share(batch: Batch) -> jax.Array:
  """The metric of this name: positions of a batch that hold no token."""
  return (batch["segment_ids"] == 0).mean()


class Objective(Protocol):
  """A loss that calls the model, as often as it likes."""

  @property
  def requires(self) -> Requires: ...

  def init_state(self) -> Any:
    """A tree of arrays; it is sharded and checkpointed with the parameters."""

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """The loss of one step.

    Args:
      model: what the recipe's `make_model` makes, with this step's parameters.
      batch: arrays of all devices; sums over them are global.
      state: of the objective.
      key: all randomness of the step, dropout included.

    Returns:
      the scalar loss; metrics, scalars that are averaged over steps; the new
      state, which takes no gradient.
    """
