"""A run folder of the recipe `ranking` -> its model and its features."""

from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx
import ml_collections
import numpy as np

from behavior_lm.artifacts.run_folder import load_run_config
from behavior_lm.common.errors import UserError
from behavior_lm.data.features import FeatureSpace
from behavior_lm.data.features.requests import RequestRows
from behavior_lm.evaluation.request_scores import RequestSubject
from behavior_lm.recipes import ranking
from behavior_lm.recipes.shared import request_data
from behavior_lm.recipes.shared.loading import restore_model
from behavior_lm.training.loop import BEST
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import split_model


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
  config = load_run_config(folder)
  if config.recipe != "ranking":
    raise UserError(
        f"{folder}: is a run of the recipe {config.recipe!r}; this takes one"
        " of configs/ranking.py."
    )
  space = FeatureSpace.load(folder)
  make = ranking.make_model(config, space)
  graphdef, params, model_state = split_model(
      nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
  )
  params, model_state, step = restore_model(
      folder,
      params,
      model_state,
      step,
      best=best and (folder / BEST).is_dir(),
  )
  return RankingRun(config, space, graphdef, params, model_state, step)


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
