"""Next events: each token, and the time to it, is predicted from the past."""

import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.objectives.cross_entropy import token_loss
from behavior_lm.objectives.gap_mixture import gap_nll
from behavior_lm.objectives.history_tokens import place_history_tokens
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import padding_share
from behavior_lm.objectives.objective import Requires


@dataclasses.dataclass(frozen=True)
class NextEvents:
  """Predict every event of a sequence from its past (a causal model).

  The first event is predicted from CLS alone. Special tokens are no targets,
  except UNK, an event that happened.

  Attributes:
    num_special, unk_id: of the tokenizer.
    gap_weight: of the time to the next event in the loss, in nats per gap; 0
      leaves it out. The event and the time to it are independent given the
      past.
    gap_components: of the mixture over gaps that the model then has.
    history_rate: share of the windows with a history token, see
      `history_tokens`.
    mask_id: the token that it is.
    hidden: (name, value) of each field that it has no value of.
    max_segments: segments of a row at most.
  """

  num_special: int
  unk_id: int
  gap_weight: float = 0.0
  gap_components: int = 8
  history_rate: float = 0.0
  mask_id: int = -1
  hidden: tuple[tuple[str, float], ...] = ()
  max_segments: int = 1

  def __post_init__(self) -> None:
    if self.gap_weight < 0 or self.gap_components < 1:
      raise ValueError(
          f"gap_weight {self.gap_weight} must be at least 0 and gap_components"
          f" {self.gap_components} at least 1"
      )
    if not 0 <= self.history_rate <= 1:
      raise ValueError(f"history_rate {self.history_rate} must be in 0 to 1")

  @property
  def requires(self) -> Requires:
    fields = ["tokens", "segment_ids"]
    if self.gap_weight:
      fields.append("time_gaps")
    if self.history_rate:
      fields += ["positions", *(name for name, _ in self.hidden)]
    return Requires(
        tuple(dict.fromkeys(fields)),
        predicts_future=True,
        hides_past=self.history_rate > 0,
    )

  def init_state(self) -> dict[str, jax.Array]:
    """Nothing is kept from step to step."""
    return {}

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """Mean cross entropy of the next event over all events, in nats.

    The metrics are `loss`, `accuracy` (top-1) and `padding_share`; with a
    weight for gaps `event_loss` and `gap_loss`, the two parts in nats.
    """
    tokens, weights = next_tokens(batch, self.num_special, self.unk_id)
    inputs = batch
    if self.history_rate:
      key, *keys = jax.random.split(key, 3)
      shape = (len(batch["tokens"]), self.max_segments)
      chance, share = (jax.random.uniform(one, shape) for one in keys)
      inputs = place_history_tokens(
          batch,
          chance,
          share,
          rate=self.history_rate,
          token=self.mask_id,
          hidden=self.hidden,
      )
    head = model(
        inputs, deterministic=False, rngs=nnx.Rngs(dropout=key)
    )
    total = jnp.maximum(weights.sum(), 1.0)
    loss, _, correct = token_loss(head, tokens, weights / total)
    metrics = {
        "loss": loss,
        "accuracy": (correct * weights).sum() / total,
        "padding_share": padding_share(batch),
    }
    if self.gap_weight:
      gaps, known = next_gaps(batch, self.num_special, self.unk_id)
      nats = gap_nll(head["gap_mixture"], gaps)
      gap_loss = (nats * known).sum() / jnp.maximum(known.sum(), 1.0)
      metrics |= {"event_loss": loss, "gap_loss": gap_loss}
      loss += self.gap_weight * gap_loss
      metrics["loss"] = loss
    return loss, metrics, state


def next_gaps(
    batch: Batch, num_special: int, unk_id: int
) -> tuple[jax.Array, jax.Array]:
  """The time from each event to the next one.

  Args:
    batch: `tokens`, `segment_ids` and `time_gaps` (the time since the previous
      event), [batch, length] int32.
    num_special, unk_id: of the tokenizer.

  Returns:
    [batch, length] int32 in 100 ms, and [batch, length] float32, 1 where an
    event and the next one are in one segment, else 0.
  """
  _, weights = next_tokens(batch, num_special, unk_id)
  tokens, gaps = batch["tokens"], batch["time_gaps"]
  is_event = (tokens >= num_special) | (tokens == unk_id)
  following = jnp.pad(gaps[:, 1:], ((0, 0), (0, 1)))
  known = weights * (is_event & (following >= 0))
  return jnp.maximum(following, 0), known


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
