"""AdamW with warm-up, decay, clipping and decay masks."""

from typing import Any

import jax
import optax

SCHEDULES = ("cosine", "linear")


def make_schedule(
    *,
    learning_rate: float,
    warmup_steps: int,
    total_steps: int,
    schedule: str = "cosine",
    final_share: float = 0.0,
) -> optax.Schedule:
  """Linear warm-up from 0, then decay to `final_share` of the peak.

  Raises:
    ValueError: if the schedule is unknown or the warm-up outlasts the run.
  """
  if schedule not in SCHEDULES:
    raise ValueError(f"schedule {schedule!r}; known are {SCHEDULES}")
  if warmup_steps >= total_steps:
    raise ValueError(
        f"warmup_steps ({warmup_steps}) must be below total_steps"
        f" ({total_steps})"
    )
  steps = total_steps - warmup_steps
  if schedule == "cosine":
    decay = optax.cosine_decay_schedule(learning_rate, steps, final_share)
  else:
    decay = optax.linear_schedule(
        learning_rate, learning_rate * final_share, steps
    )
  warmup = optax.linear_schedule(0.0, learning_rate, max(warmup_steps, 1))
  return optax.join_schedules([warmup, decay], [warmup_steps])


def decay_mask(params: Any) -> Any:
  """Weight decay for matrices only: no biases, no norms (as in BERT)."""
  return jax.tree.map(lambda x: x.ndim >= 2, params)


def make_optimizer(
    schedule: optax.Schedule,
    *,
    weight_decay: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.98,
    clip_norm: float = 1.0,
) -> optax.GradientTransformation:
  """Global-norm clipping, then AdamW (arXiv 1711.05101)."""
  return optax.chain(
      optax.clip_by_global_norm(clip_norm),
      optax.adamw(
          schedule,
          b1=beta1,
          b2=beta2,
          weight_decay=weight_decay,
          mask=decay_mask,
      ),
  )
