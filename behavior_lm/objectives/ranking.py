"""Actions on shown candidates: the labels' loss with a price on vectors."""

import dataclasses
from typing import Any

import jax

from behavior_lm.objectives.labels import Labels
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics


@dataclasses.dataclass(frozen=True)
class RankingLabels(Labels):
  """Binary cross entropy of each head, and the squares of what was looked up.

  `weights` [batch, heads] hold the label-weight matrix and the user weights,
  see `data.features.requests.head_weights`. Weight decay of the optimizer
  reaches all vectors in each step; `l2` only those of the batch, so that rare
  categories keep what little they learn.

  Attributes:
    l2: factor of the mean over rows of these squares.
  """

  l2: float = 0.0

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """See `Labels.loss`; the metric `loss` is without the penalty."""
    loss, metrics, state = super().loss(model, batch, state, key)
    if self.l2:
      penalty = model.penalty(batch)
      loss = loss + self.l2 * penalty
      metrics = metrics | {"penalty": penalty}
    return loss, metrics, state
