"""Replaced events: which events did not happen?"""

import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.objectives.detection import detection_loss
from behavior_lm.objectives.detection import score_logits
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import Requires

NAME = "replaced_events"


@dataclasses.dataclass(frozen=True)
class ReplacedEvents:
  """Tell replaced events from true ones (ELECTRA, arXiv 2003.10555).

  Unlike in the paper there is no generator: an event's replacement is the
  token of a random place of the batch, a draw by the frequency of events. The
  time gap and the features of the place stay. A draw that is the event itself
  counts as true.

  Attributes:
    num_special, unk_id: of the tokenizer.
    replace_rate: share of the events for which another one is drawn.
  """

  num_special: int
  unk_id: int
  replace_rate: float = 0.15

  def __post_init__(self) -> None:
    if not 0 < self.replace_rate < 1:
      rate = self.replace_rate
      raise ValueError(f"replace_rate is {rate}; give it in (0, 1)")

  @property
  def requires(self) -> Requires:
    return Requires(("tokens", "segment_ids"))

  def init_state(self) -> dict[str, jax.Array]:
    """Nothing is kept from step to step."""
    return {}

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """Mean cross entropy of "replaced" over all events, in nats.

    The metrics are `loss`, `accuracy` and `replaced`, the share of the events.
    """
    draw_key, dropout_key = jax.random.split(key)
    inputs, is_event = self.replace(batch, draw_key)
    is_replaced = inputs["tokens"] != batch["tokens"]
    found = self.logits(
        model, inputs, deterministic=False, rngs=nnx.Rngs(dropout=dropout_key)
    )
    loss, metrics = detection_loss(found, is_replaced, is_event)
    metrics["replaced"] = is_replaced.sum() / jnp.maximum(is_event.sum(), 1)
    return loss, metrics, state

  def replace(
      self, batch: Batch, key: jax.Array
  ) -> tuple[dict[str, jax.Array], jax.Array]:
    """The batch with other `tokens`, and [batch, length] bool: the events."""
    choice_key, place_key = jax.random.split(key)
    tokens = batch["tokens"]
    is_event = (tokens >= self.num_special) | (tokens == self.unk_id)
    is_event &= batch["segment_ids"] > 0
    chosen = jax.random.uniform(choice_key, tokens.shape) < self.replace_rate
    places = jax.random.randint(place_key, tokens.shape, 0, tokens.size)
    pick = lambda x: x.reshape(-1)[places]
    use = chosen & is_event & pick(is_event)
    new = jnp.where(use, pick(tokens), tokens)
    return dict(batch) | {"tokens": new}, is_event

  def logits(self, model: Any, inputs: Batch, **options: Any) -> jax.Array:
    """[batch, length] float32; above 0 is "replaced"."""
    hidden = model.encoder.encode(inputs, **options)
    return score_logits(model, NAME, hidden)
