"""Everything that training changes, in one plain dict."""

from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import optax

from behavior_lm.training.sharding import state_sharding

# {"params", "model_state", "opt_state", "objective_state", "step"}; plain
# containers, so it shards, donates and checkpoints like any tree.
TrainState = dict[str, Any]


def split_model(
    model: nnx.Module,
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
  """An NNX model -> (graph definition, parameters, other variables).

  The trees are plain dicts. Variables that are no parameters (a router's bias,
  say) take no gradient; a model may change them when it is called.
  """
  graphdef, *states = nnx.split(model, nnx.Param, ...)
  params, rest = states
  return graphdef, params.to_pure_dict(), rest.to_pure_dict()


def merge_model(
    graphdef: Any, params: dict[str, Any], model_state: dict[str, Any]
) -> Any:
  """The model again; cheap inside `jax.jit`."""
  return nnx.merge(graphdef, params, model_state)


def count_params(params: Any) -> int:
  """Numbers in all parameters together."""
  return sum(x.size for x in jax.tree.leaves(params))


def init_state(
    make_model: Any,
    optimizer: optax.GradientTransformation,
    objective: Any,
    seed: int,
    mesh: Mesh,
) -> tuple[Any, TrainState, Any]:
  """A new state, born sharded.

  Args:
    make_model: function of `rngs` that builds the model.
    optimizer: initialised on the parameters.
    objective: gives its own first state.
    seed: of the parameters.
    mesh: where the state lives.

  Returns:
    graph definition, state, and the sharding of each leaf.
  """

  def build() -> TrainState:
    _, params, model_state = split_model(make_model(rngs=nnx.Rngs(seed)))
    return {
        "params": params,
        "model_state": model_state,
        "opt_state": optimizer.init(params),
        "objective_state": objective.init_state(),
        "step": jnp.zeros((), jnp.int32),
    }

  graphdef, _, _ = split_model(
      nnx.eval_shape(lambda: make_model(rngs=nnx.Rngs(seed)))
  )
  # optimizer.init on sharded parameters would replicate the moments.
  shardings = state_sharding(jax.eval_shape(build), mesh)
  state = jax.jit(build, out_shardings=shardings)()
  return graphdef, state, shardings
