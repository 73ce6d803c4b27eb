"""Next items against all other items, a few logits at a time."""

import dataclasses
from typing import Any

import jax
import numpy as np

from behavior_lm.objectives.next_events import NextEvents
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import Requires


@dataclasses.dataclass(frozen=True, eq=False)
class FullSoftmax:
  """Cross entropy of the next item over the whole vocabulary.

  Attributes:
    counts: [num_items] occurrences in training; not read.
    num_special: item i has the token num_special + i. Unknown items are no
      targets.
  """

  counts: np.ndarray
  num_special: int

  @property
  def requires(self) -> Requires:
    return Requires(("tokens", "segment_ids"), predicts_future=True)

  def init_state(self) -> dict[str, jax.Array]:
    """Nothing is kept from step to step."""
    return {}

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """See `next_events.NextEvents`."""
    return NextEvents(self.num_special, unk_id=-1).loss(
        model, batch, state, key
    )
