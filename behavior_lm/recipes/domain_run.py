"""A run over prompts or domains -> what it says of its rows."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.evaluation.domain_scores import LABEL
from behavior_lm.recipes.domains import Domains
from behavior_lm.recipes.prompts import Prompts
from behavior_lm.recipes.shared.language import load_prompt_model
from behavior_lm.recipes.shared.language import PROMPTS
from behavior_lm.recipes.shared.restoring import has_best
from behavior_lm.recipes.shared.restoring import open_run
from behavior_lm.recipes.shared.restoring import restore
from behavior_lm.training.sharding import make_mesh


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
  config = open_run(folder, "prompts", "domains")
  recipes: dict[str, Any] = {PROMPTS: Prompts, "domains": Domains}
  recipe = recipe or recipes[config.recipe](config, folder)
  if config.recipe == PROMPTS:
    model = load_prompt_model(folder)
    graphdef = model.graphdef
    state = {"params": model.params, "model_state": model.model_state}
  else:
    found = restore(folder, recipe.make_model, best=has_best(folder))
    graphdef = found.graphdef
    state = {"params": found.params, "model_state": found.model_state}
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
