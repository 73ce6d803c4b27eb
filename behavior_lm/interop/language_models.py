"""A Hugging Face folder of a language model -> a run folder.

Recipes read run folders alone; this brings a model in once, with its tokenizer
of text, so that a run over prompts may start from it.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import ml_collections

from behavior_lm.artifacts.run_folder import create_run
from behavior_lm.common.errors import UserError
from behavior_lm.data.text import load_text_tokenizer
from behavior_lm.interop.folder import new_folder
from behavior_lm.interop.huggingface import Imported
from behavior_lm.interop.huggingface import model_name
from behavior_lm.interop.huggingface import read_huggingface
from behavior_lm.recipes.shared.language import LANGUAGE
from behavior_lm.recipes.shared.language import TEXT
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.loop import CHECKPOINTS
from behavior_lm.training.state import split_model

# What a run chooses for itself, see `recipes.shared.language`.
_CHOSEN_LATER = ("max_segments", "features")


def import_language_model(
    folder: str | Path, workdir: str | Path
) -> Imported:
  """Makes a run folder of an encoder and its tokenizer of text.

  Args:
    folder: of a BERT, ALBERT or Longformer, with vocab.txt or tokenizer.json.
    workdir: a new folder.

  Returns:
    What was read.

  Raises:
    UserError: if a file is missing or damaged, the tokenizer has ids that the
      model lacks, or `workdir` is not empty.
  """
  tokenizer = load_text_tokenizer(folder)
  found = read_huggingface(folder)
  if tokenizer.vocab_size > found.config.vocab_size:
    raise UserError(
        f"{folder}: the tokenizer has {tokenizer.vocab_size:,} ids, but the"
        f" model a table of {found.config.vocab_size:,}: they are of different"
        " models."
    )
  values = {
      name: value
      for name, value in dataclasses.asdict(found.config).items()
      if name not in _CHOSEN_LATER
  }
  config = ml_collections.ConfigDict({
      "recipe": LANGUAGE,
      "model": {"name": model_name(found.model), **values},
  })
  params = split_model(found.model)[1]
  with new_folder(workdir) as building:
    _save_params(building / CHECKPOINTS, {"encoder": params["encoder"]})
    create_run(
        config,
        building,
        lambda at: tokenizer.save(at / TEXT),
        imported=True,
        unused=list(found.unused),
    )
  return found


def _save_params(folder: Path, params: Any) -> None:
  checkpoints = Checkpoints(folder, keep=None)
  state = {
      "params": params,
      "model_state": {},
      "opt_state": {},
      "objective_state": {},
      "step": jnp.zeros((), jnp.int32),
  }
  checkpoints.save(state, {}, {})
  checkpoints.close()
