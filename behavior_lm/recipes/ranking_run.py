"""A run folder of the recipe `ranking` -> its model and its features."""

from pathlib import Path
from typing import Any, NamedTuple

import ml_collections
import numpy as np

from behavior_lm.data.features import FeatureSpace
from behavior_lm.data.features.requests import RequestRows
from behavior_lm.evaluation.request_scores import RequestSubject
from behavior_lm.recipes import ranking
from behavior_lm.recipes.shared import request_data
from behavior_lm.recipes.shared.restoring import has_best
from behavior_lm.recipes.shared.restoring import open_run
from behavior_lm.recipes.shared.restoring import restore
from behavior_lm.training.sharding import make_mesh


class RankingRun(NamedTuple):
  """A trained ranker.

  Attributes:
    config, space: of the run.
    graphdef, params, model_state: of the model, see `training.state`.
    step: of the checkpoint.
  """

  config: ml_collections.ConfigDict
  space: FeatureSpace
  graphdef: Any
  params: Any
  model_state: Any
  step: int

  @property
  def state(self) -> dict[str, Any]:
    """What evaluators read."""
    return {"params": self.params, "model_state": self.model_state}

  @property
  def heads(self) -> tuple[str, ...]:
    """Names of the actions that are predicted."""
    return request_data.heads_of(self.config)


def load_ranking_run(
    folder: str | Path, step: int | None = None, *, best: bool = False
) -> RankingRun:
  """Reads config.json, features.json and the model of a checkpoint.

  Args:
    folder: that experiments/train.py wrote.
    step: of the checkpoint; the last one when None.
    best: take the best checkpoint (`config.keep_best`) where there is one.

  Raises:
    UserError: if the folder is of another recipe, or a part is missing or
      damaged.
  """
  folder = Path(folder)
  config = open_run(folder, "ranking")
  space = FeatureSpace.load(folder)
  make = ranking.make_model(config, space)
  found = restore(folder, make, step, best=best and has_best(folder))
  return RankingRun(config, space, *found)


def score_rows(run: RankingRun, rows: RequestRows) -> np.ndarray:
  """[n, heads] probabilities of encoded rows."""
  subject = RequestSubject(
      heads=run.heads,
      sides={},
      batch_size=min(run.config.data.eval_batch_size, max(len(rows), 1)),
      names=request_data.ranker_inputs(run.config, run.space).fields,
      graphdef=run.graphdef,
      mesh=make_mesh(),
      shift=request_data.logit_shift(run.config),
  )
  return subject.predict_rows(run.state, rows, "requests")
