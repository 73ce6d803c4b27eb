"""One compiled training step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import optax

from behavior_lm.training.sharding import batch_sharding
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model
from behavior_lm.training.state import TrainState

StepFn = Callable[
    [TrainState, dict[str, jax.Array]],
    tuple[TrainState, dict[str, jax.Array]],
]
# The metric that counts refused updates.
SKIPPED = "skipped"


def make_train_step(
    graphdef: Any,
    objective: Any,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    seed: int,
) -> StepFn:
  """A pure function (state, batch) -> (state, metrics).

  All randomness of a step follows from the seed and the step's number, so a
  resumed run draws what the run that was not stopped would have drawn. A step
  whose loss or gradient is not finite changes nothing but the step's number:
  its metric `skipped` is 1.
  """

  def train_step(
      state: TrainState, batch: dict[str, jax.Array]
  ) -> tuple[TrainState, dict[str, jax.Array]]:
    key = jax.random.fold_in(jax.random.key(seed), state["step"])

    def loss_fn(params: Any) -> Any:
      model = merge_model(graphdef, params, state["model_state"])
      loss, metrics, objective_state = objective.loss(
          model, batch, state["objective_state"], key
      )
      # The model may have changed its variables when it was called.
      return loss, (metrics, split_model(model)[2], objective_state)

    (loss, (metrics, model_state, objective_state)), grads = (
        jax.value_and_grad(loss_fn, has_aux=True)(state["params"])
    )
    grad_norm = optax.global_norm(grads)
    updates, opt_state = optimizer.update(
        grads, state["opt_state"], state["params"]
    )
    new_state = {
        "params": optax.apply_updates(state["params"], updates),
        "model_state": model_state,
        "opt_state": opt_state,
        "objective_state": objective_state,
    }
    is_finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    kept = jax.tree.map(
        lambda new, old: jnp.where(is_finite, new, old),
        new_state,
        {name: state[name] for name in new_state},
    )
    metrics = metrics | {
        "grad_norm": grad_norm,
        "learning_rate": schedule(state["step"]),
        SKIPPED: 1.0 - is_finite.astype(jnp.float32),
    }
    return kept | {"step": state["step"] + 1}, metrics

  return train_step


def compile_step(step: StepFn, shardings: Any, mesh: Mesh) -> StepFn:
  """`jax.jit` with the state donated and everything placed on the mesh."""
  return jax.jit(
      step,
      in_shardings=(shardings, batch_sharding(mesh)),
      out_shardings=(shardings, None),
      donate_argnums=0,
  )
