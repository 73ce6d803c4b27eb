"""From a config to a trained run."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import jax
import ml_collections

from behavior_lm.artifacts import run_folder
from behavior_lm.common.lock import held
from behavior_lm.recipes.domains import Domains
from behavior_lm.recipes.finetune import Finetune
from behavior_lm.recipes.interest import Interest
from behavior_lm.recipes.pretrain import Pretrain
from behavior_lm.recipes.prompts import Prompts
from behavior_lm.recipes.ranking import Ranking
from behavior_lm.recipes.retrieval import Retrieval
from behavior_lm.recipes.shared.parts import known
from behavior_lm.training import loop

RECIPES: dict[str, Any] = {
    "pretrain": Pretrain,
    "finetune": Finetune,
    "retrieval": Retrieval,
    "interest": Interest,
    "ranking": Ranking,
    "prompts": Prompts,
    "domains": Domains,
}


def train(config: ml_collections.ConfigDict, workdir: str | Path) -> str:
  """Trains, or goes on with, the run in `workdir`.

  Args:
    config: of configs/; its `recipe` names the kind of run.
    workdir: the run folder; one that holds a run of this config is resumed.

  Returns:
    How it ended, see `training.loop.train`.

  Raises:
    UserError: for a config or folder that cannot be trained; a config with a
      mistake makes no folder.
  """
  folder = Path(workdir)
  make = known("recipe", config.recipe, RECIPES)
  if not folder.is_dir():
    run_folder.check_free(folder)
  # Of several hosts that share a folder, the first one holds it.
  alone = not jax.process_index()
  with held(folder, f"--workdir {folder}") if alone else nullcontext():
    if run_folder.is_run(folder):
      run_folder.load_run_config(folder)
      recipe = make(config, folder)
      run_folder.check_same(config, folder)
    else:
      run_folder.check_free(folder)
      recipe = make(config)
      run_folder.create_run(config, folder, recipe.save)
    return loop.train(recipe, config, folder)
