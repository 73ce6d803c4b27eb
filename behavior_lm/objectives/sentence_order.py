"""Sentence order: do two neighbouring sentences stand as they happened?"""

import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.common.rows import reduce_segments
from behavior_lm.common.rows import take_rows
from behavior_lm.layers.pooling import MeanPooling
from behavior_lm.objectives.detection import detection_loss
from behavior_lm.objectives.detection import score_logits
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import Requires

NAME = "sentence_order"


@dataclasses.dataclass(frozen=True)
class SentenceOrder:
  """Tell swapped halves of a window from halves in order (ALBERT).

  ALBERT (arXiv 1909.11942), section 3.1. A window is cut where the session
  begins that is nearest to its middle; a window of one session is not used.
  The gaps of the first and last event of both halves are hidden, since the
  longest one would show where the end of the first half lies.

  Attributes:
    no_gap: a hidden time gap.
    max_segments: segments of a row at most.
  """

  no_gap: int
  max_segments: int

  @property
  def requires(self) -> Requires:
    fields = ("tokens", "time_gaps", "segment_ids", "positions", "sessions")
    return Requires(fields, parts_windows=True)

  def init_state(self) -> dict[str, jax.Array]:
    """Nothing is kept from step to step."""
    return {}

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """Mean cross entropy of "swapped" over the windows used, in nats.

    The metrics are `loss`, `accuracy` and `windows`, how many were used.
    """
    draw_key, dropout_key = jax.random.split(key)
    shape = (len(batch["tokens"]), self.max_segments)
    swapped = jax.random.bernoulli(draw_key, shape=shape)
    inputs, valid = self.swap(batch, swapped)
    found = self.logits(
        model, inputs, deterministic=False, rngs=nnx.Rngs(dropout=dropout_key)
    )
    loss, metrics = detection_loss(found, swapped, valid)
    metrics["windows"] = valid.sum().astype(jnp.float32)
    return loss, metrics, state

  def swap(
      self, batch: Batch, swapped: jax.Array
  ) -> tuple[dict[str, jax.Array], jax.Array]:
    """Swaps the halves of some windows.

    Args:
      batch: packed, with the fields of `requires`.
      swapped: [batch, max_segments] bool.

    Returns:
      The batch with other `tokens` and `time_gaps`, and [batch, max_segments]
      bool: the windows that have two halves.
    """
    ids, positions = batch["segment_ids"], batch["positions"]
    length = ids.shape[1]
    of_segment = lambda reduce, x: reduce_segments(
        reduce, x, ids, self.max_segments
    )
    of_token = lambda x: jnp.take_along_axis(x, ids, 1)
    # The last place of each segment; 0 is that of CLS.
    last = of_token(of_segment(jax.ops.segment_max, positions))
    begins = jnp.diff(batch["sessions"], axis=1, prepend=0) != 0
    begins &= (positions > 1) & (ids > 0)
    # The nearest to the middle, and of two the earlier one.
    far = 2 * length * length
    distance = jnp.abs(2 * positions - last - 1) * length + positions
    nearest = of_segment(
        jax.ops.segment_min, jnp.where(begins, distance, far)
    )
    valid = (nearest < far)[:, 1:]
    cut = of_token(nearest % length)
    moves = jnp.pad(valid & swapped, ((0, 0), (1, 0)))
    moves = of_token(moves) & (positions > 0)
    # Events of the second half, which then stand in front.
    front = last + 1 - cut
    source = jnp.where(
        positions <= front, positions + cut - 1, positions - front
    )
    source = jnp.where(moves, source, positions)
    at = jnp.arange(length) - positions + source
    is_edge = (positions == 1) | (positions == last)
    is_edge |= (positions == cut - 1) | (positions == cut)
    gaps = jnp.where(is_edge, self.no_gap, batch["time_gaps"])
    moved = {
        "tokens": take_rows(batch["tokens"], at),
        "time_gaps": take_rows(gaps, at),
    }
    return dict(batch) | moved, valid

  def logits(self, model: Any, inputs: Batch, **options: Any) -> jax.Array:
    """[batch, max_segments] float32; above 0 is "swapped"."""
    hidden = model.encoder.encode(inputs, **options)
    pool = MeanPooling(hidden.shape[-1], rngs=nnx.Rngs(0))
    pooled = pool(
        hidden,
        inputs["segment_ids"],
        inputs["positions"],
        self.max_segments,
    )
    return score_logits(model, NAME, pooled)
