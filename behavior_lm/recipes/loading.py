"""A run folder -> its model, checked part by part."""

from pathlib import Path
import typing
from typing import Any

from flax import nnx
import ml_collections

from behavior_lm.artifacts.run_folder import load_config
from behavior_lm.common.errors import UserError
from behavior_lm.data.time_gaps import GapKind
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.recipes.pretrain import build_model
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.state import split_model


def load_run(
    folder: str | Path, step: int | None = None
) -> tuple[ml_collections.ConfigDict, Any, Any, Any, int]:
  """Reads config.json, tokenizer/ and the parameters of a checkpoint.

  Args:
    folder: that experiments/pretrain.py wrote.
    step: of the checkpoint; the last one when None.

  Returns:
    config, tokenizer, graph definition, parameters, step.

  Raises:
    UserError: if the folder, a part of it or the step is missing or damaged.
  """
  folder = Path(folder)
  config = _load_config(folder)
  tokenizer = load_tokenizer(folder / "tokenizer")
  graphdef, shapes = _model_shapes(config, tokenizer.vocab_size, folder)
  checkpoint_folder = folder / "checkpoints"
  if not checkpoint_folder.is_dir():
    raise UserError(
        f"{folder}: has no checkpoints yet. Train it with"
        " experiments/pretrain.py."
    )
  checkpoints = Checkpoints(checkpoint_folder, keep=None)
  try:
    if step is None:
      step = checkpoints.latest_step()
    params = checkpoints.restore_params(shapes, step=step)
  finally:
    checkpoints.close()
  assert step is not None  # Otherwise there was nothing to restore.
  return config, tokenizer, graphdef, params, step


def _load_config(folder: Path) -> ml_collections.ConfigDict:
  if not folder.is_dir():
    raise UserError(
        f"{folder}: no such run folder. Give one that experiments/pretrain.py"
        " wrote."
    )
  try:
    return load_config(folder)
  except UserError:
    raise
  except (AttributeError, TypeError, ValueError, OSError) as error:
    raise UserError(
        f"{folder}/config.json: is not a config ({error})."
    ) from error


def _model_shapes(
    config: ml_collections.ConfigDict, vocab_size: int, folder: Path
) -> tuple[Any, Any]:
  """Graph definition and shapes of the parameters, without computing any."""
  try:
    if config.data.gap_kind not in typing.get_args(GapKind):
      raise UserError(f"config.data.gap_kind is {config.data.gap_kind!r}.")
    make_model = build_model(config, vocab_size)
    return split_model(nnx.eval_shape(lambda: make_model(rngs=nnx.Rngs(0))))
  except UserError as error:
    raise UserError(f"{folder}/config.json: {error}") from error
  except (AttributeError, KeyError, TypeError, ValueError) as error:
    first_line = str(error).strip().splitlines()[0] if str(error) else ""
    raise UserError(
        f"{folder}/config.json: is damaged or of another version"
        f" ({first_line or repr(error)}). Restore the one of the run."
    ) from error
