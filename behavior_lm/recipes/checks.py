"""What is wrong with a config, found before a run folder is made of it."""

from pathlib import Path

from flax import nnx
import jax.numpy as jnp
import ml_collections

from behavior_lm.artifacts.run_folder import load_config
from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes import pretrain as build
from behavior_lm.training.sharding import make_mesh

# Of the tokenizer there may be none yet.
_VOCAB_SIZE = 100
_FIELDS = ("tokens", "positions", "segment_ids", "time_gaps")


def check_config(
    config: ml_collections.ConfigDict, dataset: Dataset, *, is_new: bool
) -> None:
  """Everything that can be known without a tokenizer or a step.

  A folder keeps the config that made it: one with a slip in it would have to be
  deleted by hand.

  Args:
    config: of the run.
    dataset: of `config.data.path`.
    is_new: whether the run will read `config.init_from`.

  Raises:
    UserError: what is wrong, and what to do.
  """
  splits = [config.data.split]
  if config.eval.every and config.eval.split:
    splits.append(config.eval.split)
  for split in splits:
    dataset.check_split(split)
  build.build_objective(config, _VOCAB_SIZE)
  build.build_optimizer(config)
  try:
    mesh = make_mesh(config.mesh.data, config.mesh.model)
  except ValueError as error:
    raise UserError(f"config.mesh: {error}") from error
  if config.data.batch_size % mesh.shape["data"]:
    raise UserError(
        f"data.batch_size {config.data.batch_size} does not divide among the"
        f" {mesh.shape['data']} devices of mesh.data: make it a multiple."
    )
  _check_model(config)
  if config.init_from and is_new:
    _check_source(config)


def _check_model(config: ml_collections.ConfigDict) -> None:
  """Makes the model and runs a row through it, in shapes alone."""
  make_model = build.build_model(config, _VOCAB_SIZE)

  def run() -> object:
    row = jnp.zeros((1, config.data.max_length), jnp.int32)
    names = (*_FIELDS, *build.feature_names(config))
    return make_model(rngs=nnx.Rngs(0))(dict.fromkeys(names, row))

  try:
    nnx.eval_shape(run)
  except UserError:
    raise
  except ValueError as error:
    raise UserError(f"config.model: {error}") from error


def _check_source(config: ml_collections.ConfigDict) -> None:
  """Whether a run can start from the parameters of `config.init_from`.

  Raises:
    UserError: if that is no run with a checkpoint, or its tokens are others
      than those of `config.tokenizer.path`: the rows of its tables would then
      mean other events.
  """
  source = Path(config.init_from)
  load_config(source)
  if not (source / "checkpoints").is_dir():
    raise UserError(
        f"init_from: {source} has no checkpoints yet; train it first."
    )
  path = config.tokenizer.path
  if not path:
    return
  fingerprints = {
      load_tokenizer(folder).fingerprint
      for folder in (path, source / "tokenizer")
  }
  if len(fingerprints) > 1:
    raise UserError(
        f"tokenizer.path {path} is another tokenizer than that of init_from"
        f" {source}: its parameters are of other tokens. Leave tokenizer.path"
        " empty."
    )
