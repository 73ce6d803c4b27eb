"""AdamW with warm-up, decay and clipping; freezing and rates by path.

A path is the keys of a parameter joined by "/": encoder/layers/0/mlp_in/kernel.
"""

from collections.abc import Mapping
import re
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import optax

from behavior_lm.common.errors import UserError
from behavior_lm.common.stages import parse_stages
from behavior_lm.training.sharding import path_name

SCHEDULES = ("cosine", "linear")


def optimizer_of(
    config: ml_collections.ConfigDict,
) -> tuple[optax.Schedule, optax.GradientTransformation]:
  """The learning rate by steps, and the optimizer that follows it.

  Args:
    config: with `total_steps` and the section `optim`.

  Raises:
    UserError: if a value makes no sense.
  """
  of = lambda *names: {name: config.optim[name] for name in names}
  try:
    schedule = make_schedule(
        total_steps=config.total_steps,
        **of("learning_rate", "warmup_share", "schedule", "final_share"),
        **of("rate_stages"),
    )
    optimizer = make_optimizer(
        schedule,
        **of("weight_decay", "beta1", "beta2", "clip_norm"),
        **of("freeze", "no_decay"),
        rate_scales=config.optim.rate_scales.to_dict(),
    )
  except ValueError as error:
    raise UserError(f"config.optim: {error}") from error
  return schedule, optimizer


def make_schedule(
    *,
    learning_rate: float,
    total_steps: int,
    warmup_share: float = 0.05,
    schedule: str = "cosine",
    final_share: float = 0.0,
    rate_stages: str = "",
) -> optax.Schedule:
  """Linear warm-up from 0, then decay to `final_share` of the peak.

  Args:
    learning_rate: the peak.
    total_steps: of the run.
    warmup_share: share of the steps in which the rate rises.
    schedule: "cosine" or "linear".
    final_share: share of the peak at the last step.
    rate_stages: factors of all this with their shares of the steps, see
      `common.stages`: "1:0.6,0.5:0.4"; empty is 1 throughout.

  Raises:
    ValueError: if the schedule is unknown, the warm-up outlasts the run, or
      the stages are malformed.
  """
  if schedule not in SCHEDULES:
    raise ValueError(f"schedule {schedule!r}; known are {SCHEDULES}")
  if not 0 <= warmup_share < 1:
    raise ValueError(
        f"warmup_share is {warmup_share}; give a share of the steps, from 0 to"
        " below 1"
    )
  warmup_steps = round(warmup_share * total_steps)
  steps = max(total_steps - warmup_steps, 1)
  if schedule == "cosine":
    decay = optax.cosine_decay_schedule(learning_rate, steps, final_share)
  else:
    decay = optax.linear_schedule(
        learning_rate, learning_rate * final_share, steps
    )
  warmup = optax.linear_schedule(0.0, learning_rate, max(warmup_steps, 1))
  rate = optax.join_schedules([warmup, decay], [warmup_steps])
  if not rate_stages:
    return rate
  stages = parse_stages(rate_stages, total_steps)
  factor = optax.join_schedules(
      [optax.constant_schedule(stage.value) for stage in stages],
      [stage.end for stage in stages[:-1]],
  )
  return lambda step: rate(step) * factor(step)


def make_optimizer(
    schedule: optax.Schedule,
    *,
    weight_decay: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.98,
    clip_norm: float = 1.0,
    freeze: str = "",
    no_decay: str = "",
    rate_scales: Mapping[str, float] | None = None,
) -> optax.GradientTransformation:
  """Global-norm clipping, then AdamW (arXiv 1711.05101).

  Args:
    schedule: the learning rate by steps.
    weight_decay, beta1, beta2: of AdamW; matrices alone decay, no biases and
      no norms (as in BERT).
    clip_norm: of the gradient of all parameters that are trained.
    freeze: regular expression; parameters whose path it is found in stay as
      they are, and have no moments.
    no_decay: regular expression of further parameters that do not decay.
    rate_scales: {regular expression: factor of the learning rate}; the first
      that is found in a path counts.

  Raises:
    ValueError: for a malformed regular expression.
  """
  for pattern in (freeze, no_decay, *(rate_scales or ())):
    try:
      re.compile(pattern)
    except re.error as error:
      raise ValueError(f"pattern {pattern!r}: {error}") from error
  parts = [
      optax.clip_by_global_norm(clip_norm),
      optax.adamw(
          schedule,
          b1=beta1,
          b2=beta2,
          weight_decay=weight_decay,
          mask=lambda params: decay_mask(params, no_decay),
      ),
  ]
  if rate_scales:
    parts.append(_scale_by_path(dict(rate_scales)))
  optimizer = optax.chain(*parts)
  if not freeze:
    return optimizer
  labels = lambda params: by_path(
      params, lambda path, _: "frozen" if re.search(freeze, path) else "trained"
  )
  return optax.multi_transform(
      {"trained": optimizer, "frozen": optax.set_to_zero()}, labels
  )


def by_path(params: Any, of: Any) -> Any:
  """A tree of the same shape with `of(path, leaf)` for each leaf."""
  return jax.tree_util.tree_map_with_path(
      lambda keys, leaf: of(path_name(keys), leaf), params
  )


def decay_mask(params: Any, no_decay: str = "") -> Any:
  """True where weights decay: matrices whose path `no_decay` is not in."""
  return by_path(
      params,
      lambda path, leaf: leaf.ndim >= 2
      and not (no_decay and re.search(no_decay, path)),
  )


def _scale_by_path(scales: dict[str, float]) -> optax.GradientTransformation:
  def factor(path: str) -> float:
    found = (scale for name, scale in scales.items() if re.search(name, path))
    return next(found, 1.0)

  def update(updates: Any, state: Any, params: Any = None) -> Any:
    del params
    scaled = by_path(
        updates, lambda path, x: x * jnp.asarray(factor(path), x.dtype)
    )
    return scaled, state

  return optax.GradientTransformation(lambda params: optax.EmptyState(), update)
