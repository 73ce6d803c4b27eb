"""Contrastive sub-sequences: which two parts belong to one user?"""

import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.common.rows import reduce_segments
from behavior_lm.layers.pooling import MeanPooling
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import Requires

# Below every score, within float32.
_NEVER = -1e30
# A part keeps at least this share of a window's events.
_LEAST_SHARE = 0.25


@dataclasses.dataclass(frozen=True)
class Contrastive:
  """Two parts of a window find each other among the parts of other users.

  CoLES (SIGMOD 2022, arXiv 2002.08232) with the softmax loss of SimCLR (arXiv
  2002.05709): each window is cut in two at a random place, a part's vector is
  the mean of its states, of length 1, and cosines are divided by the
  temperature. Other windows of the same user are neither right nor wrong.

  Attributes:
    cls_id: the token that stands before the second part, in the place of the
      event at the cut.
    no_gap: the time gap of that token.
    max_segments: segments of a row at most. Half as many windows of a row are
      read, so that their parts are no more than that.
    temperature: above 0.
  """

  cls_id: int
  no_gap: int
  max_segments: int
  temperature: float = 0.1

  def __post_init__(self) -> None:
    if self.temperature <= 0 or self.max_segments < 2:
      raise ValueError(
          f"temperature {self.temperature} must be above 0 and max_segments"
          f" {self.max_segments} at least 2"
      )

  @property
  def requires(self) -> Requires:
    fields = ("tokens", "time_gaps", "segment_ids", "positions")
    return Requires((*fields, "segment_user"), parts_windows=True)

  def init_state(self) -> dict[str, jax.Array]:
    """Nothing is kept from step to step."""
    return {}

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """Mean cross entropy of the other part, from both sides, in nats.

    The metrics are `loss`, `accuracy` (the other part is nearest) and `pairs`,
    the windows that were cut.
    """
    cut_key, dropout_key = jax.random.split(key)
    shape = (len(batch["tokens"]), self.max_segments // 2)
    shares = jax.random.uniform(
        cut_key, shape, minval=_LEAST_SHARE, maxval=1 - _LEAST_SHARE
    )
    inputs, valid = self.cut(batch, shares)
    vectors = self.vectors(
        model,
        inputs,
        deterministic=False,
        rngs=nnx.Rngs(dropout=dropout_key),
    )
    flat = lambda x: x.reshape(-1, *x.shape[2:])
    users = flat(batch["segment_user"][:, : shape[1]])
    loss, hits = pair_loss(
        flat(vectors[:, :, 0]),
        flat(vectors[:, :, 1]),
        flat(valid),
        users,
        self.temperature,
    )
    metrics = {
        "loss": loss,
        "accuracy": hits,
        "pairs": valid.sum().astype(jnp.float32),
    }
    return loss, metrics, state

  def cut(
      self, batch: Batch, shares: jax.Array
  ) -> tuple[dict[str, jax.Array], jax.Array]:
    """Cuts the first windows of each row in two.

    Args:
      batch: packed, with the fields of `requires` but `segment_user`.
      shares: [batch, max_segments // 2] the share of the events before the
        cut, in [0, 1); a part has one event at least.

    Returns:
      The batch with twice as many segments, windows that were not cut being
      padding, and [batch, max_segments // 2] bool, the windows that were cut.
    """
    ids, positions = batch["segment_ids"], batch["positions"]
    number = self.max_segments // 2
    ids = jnp.where(ids > number, 0, ids)
    # CLS, an event for each part, and the one at the cut.
    sizes = 1 + reduce_segments(jax.ops.segment_max, positions, ids, number)
    sizes = sizes[:, 1:]
    valid = sizes >= 4
    cuts = 2 + (shares * (sizes - 3)).astype(jnp.int32)
    of_token = lambda x: jnp.take_along_axis(
        jnp.pad(x, ((0, 0), (1, 0))), ids, 1
    )
    cut = of_token(cuts)
    is_second = positions >= cut
    new_ids = jnp.where(of_token(valid), 2 * ids - 1 + is_second, 0)
    at_cut = (positions == cut) & (new_ids > 0)
    inputs = dict(batch)
    inputs["segment_ids"] = new_ids
    inputs["positions"] = jnp.where(is_second, positions - cut, positions)
    inputs["tokens"] = jnp.where(at_cut, self.cls_id, batch["tokens"])
    inputs["time_gaps"] = jnp.where(at_cut, self.no_gap, batch["time_gaps"])
    return inputs, valid

  def vectors(
      self, model: Any, inputs: Batch, **options: Any
  ) -> jax.Array:
    """[batch, max_segments // 2, 2, embed_dim] of length 1, of all parts."""
    hidden = model.encoder.encode(inputs, **options)
    number = self.max_segments // 2
    pool = MeanPooling(hidden.shape[-1], rngs=nnx.Rngs(0))
    pooled = pool(
        hidden, inputs["segment_ids"], inputs["positions"], 2 * number
    )
    # Not of length 0, whose gradient is infinite: parts that are not there.
    length = jnp.sqrt((pooled**2).sum(-1, keepdims=True) + 1e-12)
    return (pooled / length).reshape(len(hidden), number, 2, -1)


def pair_loss(
    first: jax.Array,
    second: jax.Array,
    valid: jax.Array,
    users: jax.Array,
    temperature: float,
) -> tuple[jax.Array, jax.Array]:
  """Cross entropy of each one's partner among those of other users.

  Args:
    first, second: [n, dim] of length 1, pairs by their place.
    valid: [n] bool, which pairs there are.
    users: [n] int32.
    temperature: divides the cosines.

  Returns:
    The mean over both sides of all pairs, and the share of hits.
  """
  size = len(first)
  own = jnp.eye(size, dtype=bool)
  others = (users[:, None] != users) & valid[:, None] & valid
  cosines = jnp.matmul(first, second.T) / temperature
  logits = jnp.where(own | others, cosines, _NEVER)
  total = jnp.maximum(2.0 * valid.sum(), 1.0)
  right = jnp.diagonal(logits)
  nats = sum(jax.nn.logsumexp(logits, axis=axis) - right for axis in (0, 1))
  hits = sum(logits.max(axis) <= right for axis in (0, 1))
  mean = lambda x: jnp.where(valid, x, 0.0).sum() / total
  return mean(nats), mean(hits)
