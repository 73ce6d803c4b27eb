"""A run over prompts or domains -> what it says of its rows."""

from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx
import numpy as np

from behavior_lm.artifacts.run_folder import load_run_config
from behavior_lm.common.errors import UserError
from behavior_lm.evaluation.domain_scores import LABEL
from behavior_lm.recipes.domains import Domains
from behavior_lm.recipes.prompts import Prompts
from behavior_lm.recipes.shared.language import load_prompt_model
from behavior_lm.recipes.shared.language import PROMPTS
from behavior_lm.recipes.shared.loading import restore_model
from behavior_lm.training.loop import BEST
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import split_model


class DomainPredictions(NamedTuple):
  """Rows of one split, in order.

  Attributes:
    domains, users: [n] names.
    labels: [n] of 0 and 1.
    scores: [n] probabilities of 1.
  """

  domains: np.ndarray
  users: np.ndarray
  labels: np.ndarray
  scores: np.ndarray


def predict_run(
    folder: str | Path, split: str = "test", *, recipe: Any = None
) -> DomainPredictions:
  """Scores the rows of a split with the best checkpoint of a run.

  Args:
    folder: of a run of configs/prompts.py or configs/domains.py.
    split: train is not kept in order, so valid or test.
    recipe: the run's own, if it is at hand: reading its data takes a while.

  Raises:
    UserError: if the folder is of another recipe, or has no such split.
  """
  folder = Path(folder)
  config = load_run_config(folder)
  recipes: dict[str, Any] = {PROMPTS: Prompts, "domains": Domains}
  if config.recipe not in recipes:
    raise UserError(
        f"{folder}: is a run of the recipe {config.recipe!r}; this takes one of"
        " configs/prompts.py or configs/domains.py."
    )
  recipe = recipe or recipes[config.recipe](config, folder)
  if config.recipe == PROMPTS:
    model = load_prompt_model(folder)
    graphdef = model.graphdef
    state = {"params": model.params, "model_state": model.model_state}
  else:
    graphdef, state = _restore(folder, recipe)
  subject = recipe.subject(graphdef, make_mesh())
  if split not in subject.sides:
    raise UserError(
        f"split {split!r}: {folder} has {', '.join(subject.sides)}."
    )
  rows = recipe.data.frame[recipe.data.rows[split]]
  return DomainPredictions(
      rows["domain"].to_numpy(),
      rows["user_id"].to_numpy(),
      rows["label"].to_numpy(),
      subject.predict(state, split)[LABEL],
  )


def _restore(folder: Path, recipe: Any) -> tuple[Any, dict[str, Any]]:
  graphdef, params, model_state = split_model(
      nnx.eval_shape(lambda: recipe.make_model(rngs=nnx.Rngs(0)))
  )
  params, model_state, _ = restore_model(
      folder, params, model_state, best=(folder / BEST).is_dir()
  )
  return graphdef, {"params": params, "model_state": model_state}
