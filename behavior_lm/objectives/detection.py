"""What objectives share that tell changed inputs from true ones."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from behavior_lm.objectives.objective import Metrics


def score_logits(model: Any, name: str, vectors: jax.Array) -> jax.Array:
  """[..., embed_dim] -> [...] float32, by the model's score head of a name."""
  scores: jax.Array = model.scores[name](vectors)[..., 0]
  return scores.astype(jnp.float32)


def detection_loss(
    logits: jax.Array, is_changed: jax.Array, counts: jax.Array
) -> tuple[jax.Array, Metrics]:
  """Mean binary cross entropy, in nats.

  Args:
    logits: [...] float32; above 0 is "changed".
    is_changed: [...] bool.
    counts: [...] bool, false where there is nothing to tell.

  Returns:
    The loss; the metrics `loss` and `accuracy`.
  """
  mean = lambda x: (x * counts).sum() / jnp.maximum(counts.sum(), 1)
  loss = mean(optax.sigmoid_binary_cross_entropy(logits, is_changed))
  return loss, {"loss": loss, "accuracy": mean((logits > 0) == is_changed)}
