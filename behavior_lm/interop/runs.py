"""Run folders to Hugging Face folders, and back.

An exported folder has what transformers reads, and in behavior_lm/ what makes
its token ids: the tokenizer, the names of the tokens, the config of the run.
"""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from behavior_lm.artifacts.json_files import read_entry
from behavior_lm.artifacts.run_folder import CONFIG
from behavior_lm.artifacts.run_folder import create_run
from behavior_lm.artifacts.run_folder import load_config
from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.interop import settings
from behavior_lm.interop.folder import new_folder
from behavior_lm.interop.huggingface import Imported
from behavior_lm.interop.huggingface import read_huggingface
from behavior_lm.interop.huggingface import write_huggingface
from behavior_lm.logs import schema
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.recipes.pretrain import make_objective
from behavior_lm.recipes.shared import parts
from behavior_lm.recipes.shared.loading import load_run
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import init_state
from behavior_lm.training.state import split_model

# In an exported folder.
OWN = "behavior_lm"
TOKENIZER = "tokenizer"
NAMES = "tokens.json"
EXPORT = "export.json"


def export_run(
    run: str | Path, out: str | Path, step: int | None = None
) -> int:
  """Writes a trained model as a Hugging Face folder.

  Args:
    run: a folder of experiments/train.py.
    out: a new folder.
    step: of the checkpoint; the last one when None.

  Returns:
    The step.

  Raises:
    UserError: if the run cannot be read, its model has settings without a
      counterpart there, or `out` is not empty.
  """
  loaded = load_run(run, step)
  config, tokenizer = loaded.config, loaded.tokenizer
  with new_folder(out) as building:
    write_huggingface(building, loaded.model, pad_id=schema.PAD_ID)
    own = building / OWN
    tokenizer.save(own / TOKENIZER)
    values = config.to_dict()
    # Where the logs lay is nobody's business.
    values["data"] |= {"path": ""}
    values["tokenizer"] |= {"path": ""}
    values["init_from"] = dict.fromkeys(values["init_from"], "")
    _write_json(own / CONFIG, values)
    _write_json(own / NAMES, tokenizer.tokens)
    _write_json(own / EXPORT, {"step": loaded.step})
  return loaded.step


def import_run(folder: str | Path, workdir: str | Path) -> Imported:
  """Makes a run folder of an exported one that transformers trained on.

  It can be embedded, evaluated, and start runs as `init_from`; its optimiser
  and its place in the data are not kept, so it is no run to go on with.

  Args:
    folder: of `export_run`, or saved from it by transformers with its
      behavior_lm/ copied along.
    workdir: a new folder.

  Returns:
    What was read.

  Raises:
    UserError: if it has no behavior_lm/, or is another model than that says.
  """
  own = Path(folder) / OWN
  if not (own / CONFIG).exists():
    raise UserError(
        f"{folder}: no {OWN}/{CONFIG}, so no tokenizer of events: a run folder"
        " needs one. Copy behavior_lm/ from the exported folder, or read a"
        " model from elsewhere with"
        " behavior_lm.interop.huggingface.read_huggingface."
    )
  config = load_config(own)
  tokenizer = load_tokenizer(own / TOKENIZER)
  vocab_size = tokenizer.vocab_size
  wanted = _model_config(config, vocab_size, own / CONFIG)
  found = read_huggingface(
      folder, **{name: getattr(wanted, name) for name in settings.CHANGEABLE}
  )
  # Types learned there add to every token what the run did not have.
  config.model.num_token_types = found.config.num_token_types
  _check_same(wanted, found.config, folder)
  if not found.has_head:
    raise UserError(
        f"{folder}: holds an encoder without its masked-token head, which a"
        " run has. Save the whole model, as AutoModelForMaskedLM loads it."
    )
  step = _read_step(own / EXPORT)
  with new_folder(workdir) as building:
    _save_params(
        building / "checkpoints", config, vocab_size, found, step
    )
    create_run(
        config,
        building,
        lambda folder: tokenizer.save(folder / TOKENIZER),
        imported=True,
    )
  return found


def _model_config(
    config: ml_collections.ConfigDict, vocab_size: int, path: Path
) -> EncoderConfig:
  try:
    return parts.encoder_config(config, vocab_size)
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    raise UserError(f"{path}: is no config of a run ({error}).") from error


def _check_same(
    wanted: EncoderConfig, found: EncoderConfig, folder: str | Path
) -> None:
  """Raises UserError if the weights are those of another model."""
  old, new = _decided(wanted), _decided(found)
  different = [
      f"{name} ({old[name]!r} in {OWN}/, {new[name]!r} in the weights)"
      for name in old
      if old[name] != new[name]
  ]
  if different:
    raise UserError(
        f"{folder}: the weights are of another model than {OWN}/ says:"
        f" {', '.join(different)}."
    )


def _decided(config: EncoderConfig) -> dict[str, Any]:
  """What config.json and the weights decide, whoever wrote them."""
  names = (*settings.SIZES, "max_length", "norm_epsilon", "activation")
  sizes = getattr(config, "window_size", 0)
  if not isinstance(sizes, int):
    # One number stands for as many equal ones.
    sizes = sizes[0] if len(set(sizes)) == 1 else tuple(sizes)
  return {
      "architecture": type(config).__name__,
      **{name: getattr(config, name) for name in names},
      "embedding_dim": config.embedding_dim or config.embed_dim,
      "window_size": sizes,
  }


def _read_step(path: Path) -> int:
  step = read_entry(path, "step")
  if type(step) is not int or step < 0:
    raise UserError(f"{path}: step is {step!r}, not a number of steps.")
  return step


def _save_params(
    folder: Path,
    config: ml_collections.ConfigDict,
    vocab_size: int,
    found: Imported,
    step: int,
) -> None:
  """A checkpoint of parameters, with an optimiser that has nothing."""
  _, state, _ = init_state(
      parts.language_model(config, vocab_size),
      optax.identity(),
      make_objective(config, vocab_size),
      config.seed,
      make_mesh(),
  )
  state["params"] = jax.tree.map(jnp.asarray, split_model(found.model)[1])
  state["step"] = jnp.asarray(np.int32(step))
  checkpoints = Checkpoints(folder, keep=None)
  checkpoints.save(state, {}, {})
  checkpoints.close()


def _write_json(path: Path, content: Any) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
  path.write_text(text + "\n", encoding="utf-8")
