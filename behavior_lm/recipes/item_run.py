"""A run folder of the recipe `retrieval` -> its model and its items."""

from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx
import ml_collections

from behavior_lm.artifacts.run_folder import load_run_config
from behavior_lm.common.errors import UserError
from behavior_lm.data.items.vocabulary import ItemVocabulary
from behavior_lm.data.items.vocabulary import load_items
from behavior_lm.recipes import retrieval
from behavior_lm.recipes.shared.loading import restore_model
from behavior_lm.training.state import split_model


class ItemRun(NamedTuple):
  """A trained next-item model.

  Attributes:
    config, vocabulary: of the run.
    graphdef, params, model_state: of the model, see `training.state`.
    step: of the checkpoint.
  """

  config: ml_collections.ConfigDict
  vocabulary: ItemVocabulary
  graphdef: Any
  params: Any
  model_state: Any
  step: int

  @property
  def state(self) -> dict[str, Any]:
    """What evaluators read."""
    return {"params": self.params, "model_state": self.model_state}


def load_item_run(
    folder: str | Path, step: int | None = None, *, best: bool = False
) -> ItemRun:
  """Reads config.json, items/ and the model of a checkpoint.

  Args:
    folder: that experiments/train.py wrote.
    step: of the checkpoint; the last one when None.
    best: take the best checkpoint (`config.keep_best`) instead.

  Raises:
    UserError: if the folder is of another recipe, or a part is missing or
      damaged.
  """
  folder = Path(folder)
  config = load_run_config(folder)
  if config.recipe != "retrieval":
    raise UserError(
        f"{folder}: is a run of the recipe {config.recipe!r}; this takes one"
        " of configs/retrieval.py."
    )
  vocabulary = load_items(folder / retrieval.ITEMS)
  make = retrieval.make_model(config, vocabulary)
  graphdef, params, model_state = split_model(
      nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
  )
  params, model_state, step = restore_model(
      folder, params, model_state, step, best=best
  )
  return ItemRun(config, vocabulary, graphdef, params, model_state, step)
