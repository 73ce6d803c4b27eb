"""The language model of a run over prompts: config, tokenizer, parameters."""

import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from flax import nnx
import jax
import ml_collections
import numpy as np

from behavior_lm.artifacts.json_files import read_entry
from behavior_lm.artifacts.run_folder import load_run_config
from behavior_lm.common.errors import UserError
from behavior_lm.data.text import load_text_tokenizer
from behavior_lm.data.text import TextTokenizer
from behavior_lm.layers.adapters.lora import merge_lora
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.recipes import finetune
from behavior_lm.recipes.finetune_loading import fill_params
from behavior_lm.recipes.shared import parts
from behavior_lm.recipes.shared.source_run import encoder_params
from behavior_lm.recipes.shared.source_run import hash_params
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.loop import BEST
from behavior_lm.training.loop import CHECKPOINTS
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model

# The kind of a run folder that holds an imported language model, and no
# training; and of one that was trained on prompts.
LANGUAGE, PROMPTS = "language", "prompts"
TEXT = "text"  # the tokenizer, in a run folder
ABOUT = "prompts.json"
# An imported model gives vectors without a head, but `LabelModel` has one.
_NUM_OUTPUTS = 1


class PromptModel(NamedTuple):
  """A language model with a pooling, ready to read prompts.

  Attributes:
    config: of its run; an imported one is completed, see `load_prompt_model`.
    tokenizer: of text.
    graphdef, params, model_state: of a `models.label_model.LabelModel`.
    fingerprint: of all that its vectors follow from, but the prompts.
  """

  config: ml_collections.ConfigDict
  tokenizer: TextTokenizer
  graphdef: Any
  params: Any
  model_state: Any
  fingerprint: str


def encoder_config(config: ml_collections.ConfigDict) -> EncoderConfig:
  """The encoder's config; `model` holds all of it but max_segments."""
  _, make = parts.known("model.name", config.model.name, ENCODERS)
  return parts.make_of(
      "model",
      make,
      max_segments=config.data.max_segments,
      **parts.without_name(config.model),
  )


def take_language(config: ml_collections.ConfigDict) -> None:
  """Writes the settings of the language model `encoder.run` into a config.

  Raises:
    UserError: if it is no run of a language model.
  """
  source = load_run_config(config.encoder.run)
  if source.recipe not in (LANGUAGE, PROMPTS):
    raise UserError(
        f"{config.encoder.run}: is a run of the recipe {source.recipe!r}, not"
        " a language model. Import one with experiments/export.py"
        " --huggingface FOLDER --workdir RUN."
    )
  if source.recipe == PROMPTS and source.checkpoint_trained_only:
    raise UserError(
        f"{config.encoder.run}: holds adapters of {source.encoder.run} alone;"
        " start from that one, or from a run of mode=full."
    )
  with config.unlocked(), config.ignore_type():
    config.model = ml_collections.ConfigDict(source.model.to_dict())
    if config.encoder.dropout_rate >= 0:
      config.model.dropout_rate = config.encoder.dropout_rate
    if config.encoder.dtype:
      config.model.dtype = config.encoder.dtype


def soft_ids(config: ml_collections.ConfigDict) -> range:
  """Ids of the places of a soft prompt; none in other modes."""
  length = config.adapt.soft_length if config.adapt.mode == "soft" else 0
  size = config.model.vocab_size
  return range(size, size + length)


def load_prompt_model(
    folder: str | Path,
    *,
    pooling: str = "mean",
    pooling_options: dict[str, Any] | None = None,
    dtype: str = "",
) -> PromptModel:
  """Reads an imported language model, or one that was trained on prompts.

  Args:
    folder: of experiments/export.py --huggingface, or of configs/prompts.py.
    pooling, pooling_options: of an imported one; a trained one has its own.
    dtype: of the computation; empty is that of the run.

  Raises:
    UserError: if the folder or a run it stands on is missing or damaged.
  """
  folder = Path(folder)
  config = load_run_config(folder)
  if config.recipe == LANGUAGE:
    config = _completed(config, folder, pooling, pooling_options or {})
  elif config.recipe != PROMPTS:
    raise UserError(
        f"{folder}: is a run of the recipe {config.recipe!r}; this takes one"
        " of configs/prompts.py, or an imported language model."
    )
  if dtype:
    config.model.dtype = dtype
  tokenizer = load_text_tokenizer(folder / TEXT)
  make = finetune.label_model(config, encoder_config(config), _NUM_OUTPUTS)
  build = lambda: make(rngs=nnx.Rngs(0))
  graphdef, params, model_state = split_model(nnx.eval_shape(build))
  if config.recipe == LANGUAGE:
    found = encoder_params(folder)
    # Poolings with parameters and the head are new; the head is not read.
    params = split_model(build())[1]
    params["encoder"] = fill_params(params["encoder"], found)
  else:
    params, model_state = _restore(folder, config, params, model_state)
  leaves = jax.tree_util.tree_leaves_with_path(
      {"encoder": params["encoder"], "pooling": params.get("pooling", {})}
  )
  named = {jax.tree_util.keystr(k): np.asarray(leaf) for k, leaf in leaves}
  about = [
      hash_params(named),
      tokenizer.fingerprint,
      config.model.to_dict(),
      config.head.to_dict(),
      config.adapt.to_dict(),
  ]
  return PromptModel(
      config,
      tokenizer,
      graphdef,
      params,
      model_state,
      json.dumps(about, sort_keys=True),
  )


def merged_encoder(found: PromptModel) -> Any:
  """The encoder of a run with its low-rank updates added to its weights."""
  model = merge_model(found.graphdef, found.params, found.model_state)
  merge_lora(model.encoder)
  return model.encoder


def _restore(
    folder: Path,
    config: ml_collections.ConfigDict,
    params: Any,
    model_state: Any,
) -> tuple[Any, Any]:
  leave_out = ""
  if config.checkpoint_trained_only:
    leave_out = config.optim.freeze
    source = encoder_params(config.encoder.run)
    known = read_entry(folder / ABOUT, "encoder_sha256")
    if known != hash_params(source):
      raise UserError(
          f"{config.encoder.run}: is not the language model that {folder} was"
          " trained from. Train again."
      )
    params = params | {"encoder": fill_params(params["encoder"], source)}
  saved = folder / (BEST if (folder / BEST).is_dir() else CHECKPOINTS)
  with contextlib.closing(
      Checkpoints(saved, keep=None, leave_out=leave_out)
  ) as checkpoints:
    params, model_state, _ = checkpoints.restore_model(params, model_state)
  return params, model_state


def _completed(
    config: ml_collections.ConfigDict,
    folder: Path,
    pooling: str,
    pooling_options: dict[str, Any],
) -> ml_collections.ConfigDict:
  """What an imported model lacks of the config of configs/prompts.py."""
  values = config.to_dict() | {
      "data": {"max_segments": 8},
      "adapt": {"mode": "head"},
      "encoder": {"run": str(folder)},
      "head": {
          "pooling": pooling,
          "pooling_options": pooling_options,
          "layer": -1,
          "hidden_dim": 0,
          "dropout_rate": 0.0,
      },
  }
  return ml_collections.ConfigDict(values)
