"""A user's long interest is nearer to the own short one than to another's."""

import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import Requires

SOURCES = ("uniform", "popularity", "category")
# Below every cosine and every order of candidates.
_NEVER = -1e9
_FIELDS = ("row_user", "short_popularity", "short_category")


@dataclasses.dataclass(frozen=True)
class _TwoTowers:
  """What the losses over two vectors per user share.

  Attributes:
    source: which other users of the batch are negatives: "uniform", those with
      the nearest "popularity" of the short sequence (mean log count of its
      items), or those whose short sequence has the same main "category" as far
      as there are any.
    sequence_weight: factor of the sequence-wise balance loss of the experts.
  """

  source: str = "uniform"
  sequence_weight: float = 0.0

  def __post_init__(self) -> None:
    if self.source not in SOURCES:
      raise ValueError(
          f"source {self.source!r}; known are {', '.join(SOURCES)}"
      )

  @property
  def requires(self) -> Requires:
    return Requires(_FIELDS)

  def init_state(self) -> dict[str, jax.Array]:
    """Nothing is kept from step to step."""
    return {}

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """Mean over users, in nats.

    The metrics are `loss`, `hit_in_batch` (the own short sequence has the
    highest cosine of all in the batch) and the figures of the experts.
    """
    draw_key, dropout_key = jax.random.split(key)
    found = model(
        batch, deterministic=False, rngs=nnx.Rngs(dropout=dropout_key)
    )
    cosines = cosine(found["long"], found["short"])
    own = batch["row_user"][:, None] == batch["row_user"]
    order = prefer(self.source, batch, draw_key)
    order = jnp.where(own, _NEVER, order)
    value = self.compare(cosines, own, order).mean()
    loss = value + self.sequence_weight * found["sequence_loss"]
    positive = jnp.diagonal(cosines)
    others = jnp.where(own, _NEVER, cosines).max(1)
    metrics = {"loss": value, "hit_in_batch": (positive > others).mean()}
    return loss, metrics | found["figures"], state

  def compare(
      self, cosines: jax.Array, own: jax.Array, order: jax.Array
  ) -> jax.Array:
    """The loss of each user.

    Args:
      cosines: [users, users] of the long vector (row) and the short ones.
      own: [users, users] bool: the same user.
      order: [users, users]: which others are preferred as negatives.

    Returns:
      [users].
    """
    raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Bpr(_TwoTowers):
  """-log sigmoid(scale * (cosine of the own - cosine of another's)).

  Bayesian personalised ranking (arXiv 1205.2618), with users in the place of
  items.

  Attributes:
    num_negatives: other users that each one is compared with; the mean counts.
    scale: factor of the difference of cosines.
  """

  num_negatives: int = 1
  scale: float = 1.0

  def compare(
      self, cosines: jax.Array, own: jax.Array, order: jax.Array
  ) -> jax.Array:
    number = min(self.num_negatives, len(cosines) - 1)
    preferred, negatives = jax.lax.top_k(order, number)
    others = jnp.take_along_axis(cosines, negatives, 1)
    apart = jnp.diagonal(cosines)[:, None] - others
    losses = jax.nn.softplus(-self.scale * apart)
    # A batch with few users may have no other for somebody.
    there = preferred > _NEVER / 2
    return (losses * there).sum(1) / jnp.maximum(there.sum(1), 1)


@dataclasses.dataclass(frozen=True)
class InBatchUsers(_TwoTowers):
  """Cross entropy of the own short sequence among those of the batch.

  Attributes:
    temperature: cosines are divided by it.
    num_negatives: of the preferred others; 0 takes all of the batch.
  """

  temperature: float = 0.1
  num_negatives: int = 0

  def compare(
      self, cosines: jax.Array, own: jax.Array, order: jax.Array
  ) -> jax.Array:
    logits = cosines / self.temperature
    positive = jnp.diagonal(logits)
    others = jnp.where(own, _NEVER, logits)
    if 0 < self.num_negatives < len(cosines) - 1:
      _, negatives = jax.lax.top_k(order, self.num_negatives)
      others = jnp.take_along_axis(others, negatives, 1)
    every = jnp.concatenate([positive[:, None], others], 1)
    return jax.nn.logsumexp(every, 1) - positive


USER_OBJECTIVES: dict[str, type[_TwoTowers]] = {
    "bpr": Bpr,
    "in_batch_users": InBatchUsers,
}


def cosine(a: jax.Array, b: jax.Array) -> jax.Array:
  """[n, dim], [m, dim] -> [n, m] float32; 0 for a vector of zeros."""
  return jnp.matmul(unit(a), unit(b).T, precision="highest")


def unit(x: jax.Array) -> jax.Array:
  """[n, dim] -> vectors of length 1; the gradient at 0 is 0."""
  x = x.astype(jnp.float32)
  return x * jax.lax.rsqrt((x * x).sum(-1, keepdims=True) + 1e-12)


def prefer(source: str, batch: Batch, key: jax.Array) -> jax.Array:
  """[users, users]: the higher, the sooner the column is a negative."""
  popularity, category = batch["short_popularity"], batch["short_category"]
  number = len(popularity)
  drawn = jax.random.uniform(key, (number, number))
  if source == "popularity":
    return -jnp.abs(popularity[:, None] - popularity)
  if source == "category":
    return drawn + (category[:, None] == category)
  return drawn
