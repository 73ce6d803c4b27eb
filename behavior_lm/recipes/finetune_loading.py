"""The folder of a fine-tuned run -> its model."""

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from behavior_lm.artifacts.json_files import read_entry
from behavior_lm.common.errors import UserError
from behavior_lm.data.categories import load_categories
from behavior_lm.data.categories import Vocabularies
from behavior_lm.data.reading import Reading
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.recipes import finetune
from behavior_lm.recipes.shared import parts
from behavior_lm.recipes.shared.label_space import LabelSpace
from behavior_lm.recipes.shared.restoring import open_run
from behavior_lm.recipes.shared.source_run import encoder_params
from behavior_lm.recipes.shared.source_run import hash_params
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.loop import BEST
from behavior_lm.training.loop import CHECKPOINTS
from behavior_lm.training.sharding import path_name
from behavior_lm.training.state import split_model


@dataclasses.dataclass(frozen=True)
class LoadedLabels:
  """A fine-tuned model.

  Attributes:
    config, tokenizer, categories, space: of the run.
    graphdef, params, model_state: of the model, see `training.state`.
    step: of the checkpoint.
  """

  config: ml_collections.ConfigDict
  tokenizer: Tokenizer
  categories: Vocabularies
  space: LabelSpace
  graphdef: Any
  params: Any
  model_state: Any
  step: int

  @property
  def state(self) -> dict[str, Any]:
    """What evaluators read."""
    return {"params": self.params, "model_state": self.model_state}

  @property
  def fields(self) -> tuple[str, ...]:
    """What a batch must hold."""
    return parts.encoder_config(self.config, self.tokenizer.vocab_size).fields


def load_finetuned(folder: str | Path, *, best: bool = True) -> LoadedLabels:
  """Reads the folder of a run of configs/finetune.py.

  Args:
    folder: of the run. If it holds adapters and head alone, the pretrained run
      must still be where its config says.
    best: take the best checkpoint on validation, where there is one.

  Raises:
    UserError: if the folder, a part of it or the pretrained run is missing,
      damaged or has changed.
  """
  folder = Path(folder)
  config = open_run(folder, "finetune")
  space = LabelSpace.load(folder)
  tokenizer = load_tokenizer(folder / finetune.TOKENIZER)
  categories = load_categories(
      folder / finetune.CATEGORIES, Reading.of(config.data).categorical
  )
  encoder = parts.encoder_config(config, tokenizer.vocab_size)
  make = finetune.label_model(config, encoder, space.num_outputs)
  graphdef, params, model_state = split_model(
      nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0)))
  )
  leave_out = ""
  if config.checkpoint_trained_only:
    leave_out = config.optim.freeze
    found = encoder_params(config.encoder.run)
    _check_source(folder, config.encoder.run, found)
    params = params | {"encoder": fill_params(params["encoder"], found)}
  saved = folder / BEST if best and (folder / BEST).is_dir() else None
  with contextlib.closing(
      Checkpoints(saved or folder / CHECKPOINTS, keep=None, leave_out=leave_out)
  ) as checkpoints:
    params, model_state, step = checkpoints.restore_model(params, model_state)
  return LoadedLabels(
      config,
      tokenizer,
      categories,
      space,
      graphdef,
      params,
      model_state,
      step,
  )


def _check_source(
    folder: Path, run: str, params: dict[str, np.ndarray]
) -> None:
  known = read_entry(folder / finetune.SAMPLES, "encoder_sha256")
  if known != hash_params(params):
    raise UserError(
        f"{run}: its last checkpoint is not the one that {folder} was"
        " fine-tuned from: it was trained on. Fine-tune again."
    )


def fill_params(shapes: Any, params: dict[str, np.ndarray]) -> Any:
  """Arrays in place of shapes, where there are any."""
  return jax.tree_util.tree_map_with_path(
      lambda keys, shape: jnp.asarray(params[path_name(keys)])
      if path_name(keys) in params
      else shape,
      shapes,
  )
