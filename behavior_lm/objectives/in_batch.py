"""Next items against the labels that other users have at the same position."""

import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.objectives.next_events import next_tokens
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import padding_share
from behavior_lm.objectives.objective import Requires


@dataclasses.dataclass(frozen=True, eq=False)
class InBatch:
  """At each position, the labels of the batch are each other's candidates.

  logits[l, b, m] = hidden[b, l] . table[label[m, l]] - log q(label[m, l]), a
  softmax over m with b as the positive. A label where a user has no next item
  is an item drawn at random; it stands among the candidates, and the position
  has no weight. A label that equals the positive stays a candidate unless
  `mask_duplicates`.

  Attributes:
    counts: [num_items] occurrences in training; q is their share.
    num_special: item i has the token num_special + i.
    degree_weight: factor of log q; 0 leaves popularity in.
    mask_duplicates: see above.
  """

  counts: np.ndarray
  num_special: int
  degree_weight: float = 1.0
  mask_duplicates: bool = False

  @property
  def requires(self) -> Requires:
    return Requires(("tokens", "segment_ids"), predicts_future=True)

  def init_state(self) -> dict[str, jax.Array]:
    """Nothing is kept from step to step."""
    return {}

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """Mean cross entropy over all positions with a next item, in nats.

    The metrics are `loss`, `accuracy_sampled` (the positive scores highest
    among its candidates), `collisions` (share of the other candidates that
    equal the positive) and `padding_share`.
    """
    draw_key, dropout_key = jax.random.split(key)
    tokens, weights = next_tokens(batch, self.num_special, unk_id=-1)
    drawn = jax.random.randint(draw_key, tokens.shape, 0, len(self.counts))
    labels = jnp.where(weights > 0, tokens - self.num_special, drawn)
    head = model(
        batch, deterministic=False, rngs=nnx.Rngs(dropout=dropout_key)
    )
    share = np.maximum(self.counts, 1e-9) / max(self.counts.sum(), 1)
    log_q = jnp.asarray(np.log(share), jnp.float32)[labels]
    hidden = head["hidden"]
    candidates = head["table"][self.num_special + labels].astype(hidden.dtype)
    logits = jnp.einsum(
        "bld,mld->lbm",
        hidden,
        candidates,
        preferred_element_type=jnp.float32,
    )
    logits = logits - self.degree_weight * log_q.T[:, None]
    size = len(labels)
    diagonal = jnp.eye(size, dtype=bool)
    same = (labels.T[:, :, None] == labels.T[:, None]) & ~diagonal
    if self.mask_duplicates:
      logits = jnp.where(same, -1e9, logits)
    positive = jnp.diagonal(logits, axis1=1, axis2=2)
    nll = jax.nn.logsumexp(logits, -1) - positive
    total = jnp.maximum(weights.sum(), 1.0)
    mean = lambda x: (x * weights.T).sum() / total
    loss = mean(nll)
    others = jnp.where(diagonal, -jnp.inf, logits).max(-1)
    metrics = {
        "loss": loss,
        "accuracy_sampled": mean(positive > others),
        "collisions": mean(same.sum(-1) / max(size - 1, 1)),
        "padding_share": padding_share(batch),
    }
    return loss, metrics, state
