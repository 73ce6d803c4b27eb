"""A run folder of the recipe `retrieval` -> its model and its items."""

from pathlib import Path
from typing import Any, NamedTuple

import ml_collections

from behavior_lm.data.items.vocabulary import ItemVocabulary
from behavior_lm.data.items.vocabulary import load_items
from behavior_lm.recipes import retrieval
from behavior_lm.recipes.shared.restoring import open_run
from behavior_lm.recipes.shared.restoring import restore


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
  config = open_run(folder, "retrieval")
  vocabulary = load_items(folder / retrieval.ITEMS)
  make = retrieval.make_model(config, vocabulary)
  found = restore(folder, make, step, best=best)
  return ItemRun(config, vocabulary, *found)
