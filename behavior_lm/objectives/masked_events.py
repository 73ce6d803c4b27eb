"""Masked events: BERT's objective over tokens and their time gaps."""

from collections.abc import Mapping
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from behavior_lm.common.rows import put_rows
from behavior_lm.objectives.cross_entropy import token_loss
from behavior_lm.objectives.masking import choose_masked

Batch = Mapping[str, jax.Array]

HIDDEN_GAP = -1


@dataclasses.dataclass(frozen=True)
class MaskedEvents:
  """Predict chosen tokens from all others, on the device.

  A token is masked whole: its gap and its features go with it, or the duration
  would give the event away. A random token brings those of a random place of
  its row along.

  Attributes:
    vocab_size, num_special, mask_id, unk_id: of the tokenizer; of the ids
      below `num_special` only `unk_id` (an event that happened, unreadable) is
      masked, and none is drawn.
    max_segments: segments in a row at most.
    mask_rate: share of each sequence's events, rounded: the budget is exact.
    strategy: "uniform".
    mask_share, random_share: of the chosen, so many become [MASK] and so many
      a random token; the rest stays as it is. BERT (arXiv 1810.04805), section
      3.1: 80 %, 10 %, 10 %.
    features: further fields of the batch that belong to a token.
  """

  vocab_size: int
  num_special: int
  mask_id: int
  unk_id: int
  max_segments: int
  mask_rate: float = 0.15
  strategy: str = "uniform"
  mask_share: float = 0.8
  random_share: float = 0.1
  features: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    if self.strategy != "uniform":
      raise ValueError(f"masking strategy {self.strategy!r}; known: 'uniform'")
    if not 0.0 < self.mask_rate < 1.0:
      raise ValueError(f"mask_rate is {self.mask_rate}; give it in (0, 1)")
    shares = (self.mask_share, self.random_share)
    if min(shares) < 0 or sum(shares) > 1:
      raise ValueError(
          f"mask_share {shares[0]} and random_share {shares[1]} must be at"
          " least 0, and 1 together at most"
      )

  def init_state(self) -> dict[str, jax.Array]:
    """State that lives in `TrainState.objective_state`; none here."""
    return {}

  def corrupt(
      self, batch: Batch, key: jax.Array, state: Mapping[str, jax.Array]
  ) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """Masks a packed batch.

    Args:
      batch: see DESIGN: `tokens`, `segment_ids`, `time_gaps`, ...
      key: random key of this step.
      state: objective state.

    Returns:
      inputs: the batch with corrupted `tokens` and `time_gaps`;
      targets: `at` [batch, n] row offsets, `tokens` [batch, n] the truth,
      `weights` [batch, n] float32 (0 = no target).
    """
    del state
    tokens, segment_ids = batch["tokens"], batch["segment_ids"]
    choice_key, role_key, token_key, gap_key = jax.random.split(key, 4)
    is_event = (tokens >= self.num_special) | (tokens == self.unk_id)
    eligible = is_event & (segment_ids > 0)
    at, valid = choose_masked(
        jax.random.uniform(choice_key, tokens.shape),
        eligible,
        segment_ids,
        mask_rate=self.mask_rate,
        max_segments=self.max_segments,
    )
    truth = jnp.take_along_axis(tokens, at, 1)
    role = jax.random.uniform(role_key, at.shape)
    is_mask = role < self.mask_share
    is_random = ~is_mask & (role < self.mask_share + self.random_share)
    drawn = jax.random.randint(
        token_key, at.shape, self.num_special, self.vocab_size
    )
    elsewhere = jax.random.randint(gap_key, at.shape, 0, tokens.shape[1])
    new_tokens = jnp.where(
        is_mask, self.mask_id, jnp.where(is_random, drawn, truth)
    )
    inputs = dict(batch)
    inputs["tokens"] = _write(tokens, at, new_tokens, valid)
    for name in ("time_gaps", *self.features):
      field = batch[name]
      drawn = jnp.take_along_axis(field, elsewhere, 1)
      kept = jnp.take_along_axis(field, at, 1)
      kept = jnp.where(is_random, drawn, kept)
      # A missing float is NaN, see `data.time_features`.
      hidden = jnp.nan if field.dtype.kind == "f" else HIDDEN_GAP
      kept = jnp.where(is_mask, jnp.asarray(hidden, field.dtype), kept)
      inputs[name] = _write(field, at, kept, valid)
    targets = {
        "at": at,
        "tokens": truth,
        "weights": valid.astype(jnp.float32),
        "num_eligible": eligible.sum(),
        "num_events": batch["num_events"].sum(),
    }
    return inputs, targets

  def loss(
      self, outputs: Mapping[str, Any], targets: Mapping[str, jax.Array]
  ) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mean cross entropy over masked events, in nats.

    Args:
      outputs: `head`, the factors of the logits [batch, n, vocab_size] at
        `targets["at"]`, see `token_loss`.
      targets: from `corrupt`.

    Returns:
      The loss, and metrics: `loss`, `accuracy`, realised `mask_rate`.
    """
    weights = targets["weights"]
    total = jnp.maximum(weights.sum(), 1.0)
    loss, _, correct = token_loss(
        outputs["head"], targets["tokens"], weights / total
    )
    metrics = {
        "loss": loss,
        "accuracy": (correct * weights).sum() / total,
        "mask_rate": weights.sum() / jnp.maximum(targets["num_eligible"], 1),
    }
    return loss, metrics

  def update(
      self, state: dict[str, jax.Array], targets: Any, outputs: Any
  ) -> dict[str, jax.Array]:
    """Uniform masking learns nothing from a step."""
    del targets, outputs
    return state


def _write(
    row: jax.Array, at: jax.Array, values: jax.Array, valid: jax.Array
) -> jax.Array:
  """[batch, length] with values at offsets; offsets not valid fall outside."""
  return put_rows(row, jnp.where(valid, at, row.shape[1]), values)
