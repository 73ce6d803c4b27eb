"""One compiled training step."""

from collections.abc import Callable
from typing import Any

from flax import nnx
import jax
from jax.sharding import Mesh
import optax

from behavior_lm.training.sharding import batch_sharding
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import TrainState

StepFn = Callable[
    [TrainState, dict[str, jax.Array]],
    tuple[TrainState, dict[str, jax.Array]],
]


def make_train_step(
    graphdef: Any,
    objective: Any,
    optimizer: optax.GradientTransformation,
    schedule: optax.Schedule,
    seed: int,
) -> StepFn:
  """A pure function (state, batch) -> (state, metrics).

  All randomness of a step follows from the seed and the step's number, so a
  resumed run draws what the run that was not stopped would have drawn.
  """

  def train_step(
      state: TrainState, batch: dict[str, jax.Array]
  ) -> tuple[TrainState, dict[str, jax.Array]]:
    key = jax.random.fold_in(jax.random.key(seed), state["step"])
    corrupt_key, dropout_key = jax.random.split(key)
    inputs, targets = objective.corrupt(
        batch, corrupt_key, state["objective_state"]
    )

    def loss_fn(params: Any) -> Any:
      model = merge_model(graphdef, params)
      outputs = model(
          inputs,
          deterministic=False,
          rngs=nnx.Rngs(dropout=dropout_key),
          predict_at=targets["at"],
      )
      loss, metrics = objective.loss(outputs, targets)
      return loss, (metrics, outputs)

    grads, (metrics, outputs) = jax.grad(loss_fn, has_aux=True)(state["params"])
    updates, opt_state = optimizer.update(
        grads, state["opt_state"], state["params"]
    )
    new_state = {
        "params": optax.apply_updates(state["params"], updates),
        "opt_state": opt_state,
        "objective_state": objective.update(
            state["objective_state"], targets, outputs
        ),
        "step": state["step"] + 1,
    }
    metrics["grad_norm"] = optax.global_norm(grads)
    metrics["learning_rate"] = schedule(state["step"])
    metrics["num_events"] = targets["num_events"]
    return new_state, metrics

  return train_step


def compile_step(step: StepFn, shardings: Any, mesh: Mesh) -> StepFn:
  """`jax.jit` with the state donated and everything placed on the mesh."""
  return jax.jit(
      step,
      in_shardings=(shardings, batch_sharding(mesh)),
      out_shardings=(shardings, None),
      donate_argnums=0,
  )
