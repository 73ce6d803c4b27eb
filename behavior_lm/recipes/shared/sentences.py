"""How many sentences of a two-level encoder have no vector."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from behavior_lm.common.rows import session_segments
from behavior_lm.models.encoders.sentences import count_left_out
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import Objective
from behavior_lm.objectives.objective import Requires


@dataclasses.dataclass(frozen=True)
class CountedSentences:
  """An objective, with the metric `sentences_left_out`.

  It is the share of a batch's sentences that have no vector in the upper level
  of an encoder, because their rows have more than fit.

  Attributes:
    objective: gives the loss.
    num_sentences: that have a vector in a row.
  """

  objective: Objective
  num_sentences: int

  @property
  def requires(self) -> Requires:
    return self.objective.requires

  def init_state(self) -> Any:
    """The state of the objective."""
    return self.objective.init_state()

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """The loss of the objective; the model must read `sessions`."""
    loss, metrics, state = self.objective.loss(model, batch, state, key)
    left_out, all_of = count_left_out(
        session_segments(batch["segment_ids"], batch["sessions"]),
        self.num_sentences,
    )
    share = left_out / jnp.maximum(all_of, 1)
    return loss, metrics | {"sentences_left_out": share}, state
