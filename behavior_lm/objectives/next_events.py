"""Next events: each token is predicted from those before it."""

import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.objectives.cross_entropy import token_loss
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import Requires


@dataclasses.dataclass(frozen=True)
class NextEvents:
  """Predict every event of a sequence from its past (a causal model).

  The first event is predicted from CLS alone. Special tokens are no targets,
  except UNK, an event that happened.

  Attributes:
    num_special, unk_id: of the tokenizer.
  """

  num_special: int
  unk_id: int

  @property
  def requires(self) -> Requires:
    return Requires(("tokens", "segment_ids"), predicts_future=True)

  def init_state(self) -> dict[str, jax.Array]:
    """Nothing is kept from step to step."""
    return {}

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """Mean cross entropy of the next event over all events, in nats.

    The metrics are `loss`, `accuracy` (top-1) and `padding_share`.
    """
    tokens, weights = next_tokens(batch, self.num_special, self.unk_id)
    head = model(
        batch, deterministic=False, rngs=nnx.Rngs(dropout=key)
    )
    total = jnp.maximum(weights.sum(), 1.0)
    loss, _, correct = token_loss(head, tokens, weights / total)
    metrics = {
        "loss": loss,
        "accuracy": (correct * weights).sum() / total,
        "padding_share": (batch["segment_ids"] == 0).mean(),
    }
    return loss, metrics, state


def next_tokens(
    batch: Batch, num_special: int, unk_id: int
) -> tuple[jax.Array, jax.Array]:
  """What is to be predicted at each position.

  Args:
    batch: `tokens` and `segment_ids`, [batch, length] int32.
    num_special, unk_id: of the tokenizer.

  Returns:
    [batch, length] int32 the token behind each position, and [batch, length]
    float32, 1 where that is an event of the same segment, else 0.
  """
  shift = lambda x: jnp.pad(x[:, 1:], ((0, 0), (0, 1)))
  segment_ids = batch["segment_ids"]
  following = shift(batch["tokens"])
  is_event = (following >= num_special) | (following == unk_id)
  same = (shift(segment_ids) == segment_ids) & (segment_ids > 0)
  return following, (is_event & same).astype(jnp.float32)
