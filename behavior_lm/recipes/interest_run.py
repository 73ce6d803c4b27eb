"""A run folder of the recipe `interest` -> its model, items and categories."""

from pathlib import Path
from typing import Any, NamedTuple

from jax.sharding import Mesh
import ml_collections

from behavior_lm.data.categories import Vocabularies
from behavior_lm.data.items.vocabulary import ItemVocabulary
from behavior_lm.data.items.vocabulary import load_items
from behavior_lm.data.reading import Reading
from behavior_lm.evaluation.own_short import InterestSubject
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes import interest
from behavior_lm.recipes.shared.restoring import open_run
from behavior_lm.recipes.shared.restoring import restore


class InterestRun(NamedTuple):
  """A trained two-tower model.

  Attributes:
    config, vocabulary, categories: of the run.
    graphdef, params, model_state: of the model, see `training.state`.
    step: of the checkpoint.
  """

  config: ml_collections.ConfigDict
  vocabulary: ItemVocabulary
  categories: Vocabularies
  graphdef: Any
  params: Any
  model_state: Any
  step: int

  @property
  def state(self) -> dict[str, Any]:
    """What evaluators read."""
    return {"params": self.params, "model_state": self.model_state}

  def subject(self, dataset: Dataset, mesh: Mesh) -> InterestSubject:
    """The model, to be scored on any dataset."""
    return interest.make_subject(
        self.config,
        dataset,
        self.vocabulary,
        self.categories,
        self.graphdef,
        mesh,
    )


def load_interest_run(
    folder: str | Path, step: int | None = None, *, best: bool = False
) -> InterestRun:
  """Reads config.json, items/, categories/ and the model of a checkpoint.

  Args:
    folder: that experiments/train.py wrote.
    step: of the checkpoint; the last one when None.
    best: take the best checkpoint (`config.keep_best`) instead.

  Raises:
    UserError: if the folder is of another recipe, or a part is missing or
      damaged.
  """
  folder = Path(folder)
  config = open_run(folder, "interest")
  vocabulary = load_items(folder / interest.ITEMS)
  categories = interest.load_run_categories(folder, Reading.of(config.data))
  make = interest.make_model(config, vocabulary)
  found = restore(folder, make, step, best=best)
  return InterestRun(config, vocabulary, categories, *found)
