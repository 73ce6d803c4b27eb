"""Actions on shown candidates: the labels' loss with a price on vectors."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.objectives.labels import Labels
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.sampled_items import SampledSoftmax

NEXT_SOURCES = ("batch", "shown")


@dataclasses.dataclass(frozen=True, eq=False)
class ShownSoftmax(SampledSoftmax):
  """Next items against the candidates of a batch: what was shown.

  Attributes:
    shown: [rows] places of their items among those of `counts`.
  """

  shown: Any = None

  def draw(
      self, key: jax.Array, targets: jax.Array, weights: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """All of them, for every position."""
    del key, targets, weights
    return self.shown, jnp.log(float(len(self.shown)))


@dataclasses.dataclass(frozen=True)
class RankingLabels(Labels):
  """Binary cross entropy of each head, and the squares of what was looked up.

  `weights` [batch, heads] hold the label-weight matrix and the user weights,
  see `data.features.requests.head_weights`. Weight decay of the optimizer
  reaches all vectors in each step; `l2` only those of the batch, so that rare
  categories keep what little they learn.

  Attributes:
    l2: factor of the mean over rows of these squares.
    next_weight: factor of the loss on the next action of the user's own
      sequence (TransAct V2, arXiv 2506.02267), a softmax of its item among
      sampled ones; 0 is none.
    next_negatives: number of them.
    next_source: "batch", items of actions of the batch; or "shown", all
      candidates of the batch.
  """

  l2: float = 0.0
  next_weight: float = 0.0
  next_negatives: int = 64
  next_source: str = "batch"

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.next_source not in NEXT_SOURCES:
      raise ValueError(
          f"next_source {self.next_source!r}; known are {NEXT_SOURCES}"
      )

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """See `Labels.loss`; the metric `loss` is without the other terms."""
    loss, metrics, state = super().loss(model, batch, state, key)
    if self.l2:
      penalty = model.penalty(batch)
      loss = loss + self.l2 * penalty
      metrics = metrics | {"penalty": penalty}
    if self.next_weight:
      found, others = self.next_action(
          model, batch, jax.random.fold_in(key, 1)
      )
      loss = loss + self.next_weight * found
      metrics = metrics | {
          "next_action": found, "next_action_wins": others["accuracy_sampled"]
      }
    return loss, metrics, state

  def next_action(
      self, model: Any, batch: Batch, key: jax.Array
  ) -> tuple[jax.Array, Metrics]:
    """Mean nats over actions behind another one, and the softmax's metrics."""
    settings: dict[str, Any] = dict(
        counts=np.ones(model.inputs.num_ids - 1),
        num_special=1,  # The id 0 is padding.
        num_negatives=self.next_negatives,
        shared=True,
        source="batch",
        correction="none",
    )
    softmax = SampledSoftmax(**settings)
    if self.next_source == "shown":
      shown = batch["ids"][:, model.inputs.candidate] - 1
      softmax = ShownSoftmax(**settings, shown=shown)
    loss, metrics, _ = softmax.loss(
        lambda _, **options: model.next_actions(batch, **options),
        model.action_sequence(batch),
        {},
        key,
    )
    return loss, metrics
