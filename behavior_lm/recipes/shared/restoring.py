"""What all loaders of run folders share: the recipe, and the variables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx
import ml_collections

from behavior_lm.artifacts.run_folder import load_run_config
from behavior_lm.common.errors import UserError
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.loop import BEST
from behavior_lm.training.loop import CHECKPOINTS
from behavior_lm.training.state import split_model

# What uses the runs of each recipe.
USED_WITH = {
    "pretrain": "experiments/embed.py",
    "finetune": "behavior_lm.FineTuned",
    "retrieval": "experiments/recall.py",
    "interest": "experiments/embed.py",
    "ranking": "experiments/rank.py",
    "prompts": "experiments/evaluate.py",
    "domains": "experiments/evaluate.py",
}


class Restored(NamedTuple):
  """A model from a checkpoint.

  Attributes:
    graphdef, params, model_state: of the model, see `training.state`.
    step: of the checkpoint.
  """

  graphdef: Any
  params: Any
  model_state: Any
  step: int


def open_run(folder: Path, *recipes: str) -> ml_collections.ConfigDict:
  """The config of a run.

  Args:
    folder: that experiments/train.py wrote.
    *recipes: those that the caller can load.

  Raises:
    UserError: if there is no run, or one of another recipe.
  """
  if not folder.is_dir():
    raise UserError(
        f"{folder}: no such run folder. Give one that experiments/train.py"
        " wrote."
    )
  config = load_run_config(folder)
  recipe = config.get("recipe")
  if not recipe:
    raise UserError(
        f"{folder}/config.json: is damaged or of another version (it names no"
        " recipe). Restore the one of the run."
    )
  if recipe not in recipes:
    configs = " or ".join(f"configs/{name}.py" for name in recipes)
    use = USED_WITH.get(recipe)
    raise UserError(
        f"{folder}: is a run of configs/{recipe}.py; this takes one of"
        f" {configs}." + (f" Use it with {use}." if use else "")
    )
  return config


def restore(
    folder: Path,
    make: Callable[..., nnx.Module],
    step: int | None = None,
    *,
    best: bool = False,
) -> Restored:
  """A model with the variables of a checkpoint.

  Args:
    folder: of the run.
    make: a function of `rngs` that makes the model.
    step: of the checkpoint; the last one when None.
    best: take the best checkpoint instead.

  Raises:
    UserError: if there is no such checkpoint.
  """
  graphdef, params, model_state = split_model(
      nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
  )
  return Restored(
      graphdef, *restore_model(folder, params, model_state, step, best=best)
  )


def has_best(folder: Path) -> bool:
  """Whether a run kept a best checkpoint."""
  return (folder / BEST).is_dir()


def restore_model(
    folder: Path,
    params: Any,
    model_state: Any,
    step: int | None = None,
    *,
    best: bool = False,
) -> tuple[Any, Any, int]:
  """The variables of a checkpoint, from their shapes.

  Args:
    folder: of the run.
    params, model_state: shapes, see `training.state.split_model`.
    step: of the checkpoint; the last one when None.
    best: take the best checkpoint instead.

  Returns:
    Parameters, other variables, and the step.

  Raises:
    UserError: if there is no such checkpoint.
  """
  saved = folder / (BEST if best else CHECKPOINTS)
  if not saved.is_dir():
    raise UserError(
        f"{folder}: has no best checkpoint. Train it with"
        " --config.keep_best.metric, or take the last checkpoint."
        if best
        else f"{folder}: has no checkpoints yet. Train it with"
        " experiments/train.py."
    )
  checkpoints = Checkpoints(saved, keep=None)
  try:
    params, model_state, step = checkpoints.restore_model(
        params, model_state, step
    )
  finally:
    checkpoints.close()
  return params, model_state, step


def restore_objective(
    folder: Path, step: int | None = None
) -> dict[str, Any]:
  """The state of a run's objective, as NumPy arrays; {} if it has none.

  Args:
    folder: of the run.
    step: of the checkpoint; the last one when None.

  Raises:
    UserError: if there is no such checkpoint.
  """
  if not (folder / CHECKPOINTS).is_dir():
    raise UserError(
        f"{folder}: has no checkpoints yet. Train it with"
        " experiments/train.py."
    )
  checkpoints = Checkpoints(folder / CHECKPOINTS, keep=None)
  try:
    return checkpoints.restore_objective(step)
  finally:
    checkpoints.close()
