"""A run folder -> its model, checked part by part."""

from pathlib import Path
import typing
from typing import Any, NamedTuple

from flax import nnx
import ml_collections

from behavior_lm.common.errors import UserError
from behavior_lm.data.categories import load_categories
from behavior_lm.data.categories import Vocabularies
from behavior_lm.data.reading import Reading
from behavior_lm.data.time_gaps import GapKind
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.recipes.shared import parts
from behavior_lm.recipes.shared.restoring import open_run
from behavior_lm.recipes.shared.restoring import restore_model
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model


class LoadedRun(NamedTuple):
  """A trained language model.

  Attributes:
    config, tokenizer: of the run.
    categories: codes of the values of categorical columns.
    graphdef, params, model_state: of the model, see `training.state`.
    step: of the checkpoint.
  """

  config: ml_collections.ConfigDict
  tokenizer: Tokenizer
  categories: Vocabularies
  graphdef: Any
  params: Any
  model_state: Any
  step: int

  @property
  def model(self) -> Any:
    return merge_model(self.graphdef, self.params, self.model_state)

  @property
  def model_fields(self) -> tuple[str, ...]:
    """What a batch of the encoder must hold."""
    return parts.encoder_config(self.config, self.tokenizer.vocab_size).fields

  @property
  def state(self) -> dict[str, Any]:
    """What evaluators read."""
    return {"params": self.params, "model_state": self.model_state}


def load_run(
    folder: str | Path, step: int | None = None, *, best: bool = False
) -> LoadedRun:
  """Reads config.json, tokenizer/ and the model of a checkpoint.

  Args:
    folder: that experiments/train.py wrote.
    step: of the checkpoint; the last one when None.
    best: take the best checkpoint (`config.keep_best`) instead.

  Raises:
    UserError: if the folder, a part of it or the step is missing or damaged.
  """
  folder = Path(folder)
  config = _load_config(folder)
  tokenizer = load_tokenizer(folder / "tokenizer")
  columns = _categorical(config, folder)
  categories = load_categories(folder / "categories", columns)
  graphdef, params, model_state = _shapes(config, tokenizer.vocab_size, folder)
  params, model_state, step = restore_model(
      folder, params, model_state, step, best=best
  )
  return LoadedRun(
      config, tokenizer, categories, graphdef, params, model_state, step
  )


def _load_config(folder: Path) -> ml_collections.ConfigDict:
  try:
    config = open_run(folder, "pretrain")
    return config
  except UserError:
    raise
  except (AttributeError, TypeError, ValueError, OSError) as error:
    raise UserError(
        f"{folder}/config.json: is not a config ({error})."
    ) from error


def _categorical(
    config: ml_collections.ConfigDict, folder: Path
) -> tuple[str, ...]:
  try:
    return Reading.of(config.data).categorical
  except (AttributeError, TypeError) as error:
    raise UserError(
        f"{folder}/config.json: is damaged or of another version ({error})."
        " Restore the one of the run."
    ) from error


def _shapes(
    config: ml_collections.ConfigDict, vocab_size: int, folder: Path
) -> tuple[Any, Any, Any]:
  """Graph definition and shapes of the variables, without computing any."""
  try:
    if config.data.gap_kind not in typing.get_args(GapKind):
      raise UserError(f"config.data.gap_kind is {config.data.gap_kind!r}.")
    make_model = parts.language_model(config, vocab_size)
    return split_model(nnx.eval_shape(lambda: make_model(rngs=nnx.Rngs(0))))
  except UserError as error:
    raise UserError(f"{folder}/config.json: {error}") from error
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    first_line = str(error).strip().splitlines()[0] if str(error) else ""
    raise UserError(
        f"{folder}/config.json: is damaged or of another version"
        f" ({first_line or repr(error)}). Restore the one of the run."
    ) from error
