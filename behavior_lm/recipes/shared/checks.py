"""What is wrong with a run, found before a run folder is made of it."""

from collections.abc import Mapping
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.objectives.objective import Requires
from behavior_lm.training.optimizer import optimizer_of
from behavior_lm.training.recipe import Recipe
from behavior_lm.training.selection import Selection
from behavior_lm.training.sharding import LARGE
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.sharding import uncovered
from behavior_lm.training.state import split_model

# A smaller share of sequences that are too short is not worth a word.
_MANY_SHORT = 0.1


def check_loop(config: ml_collections.ConfigDict, rows: int) -> None:
  """Checks what the loop reads: optimizer, mesh, evaluations.

  Args:
    config: of the run.
    rows: of a batch of all hosts.

  Raises:
    UserError: what is wrong, and what to do.
  """
  optimizer_of(config)
  try:
    mesh = make_mesh(config.mesh.data, config.mesh.model)
  except ValueError as error:
    raise UserError(f"config.mesh: {error}") from error
  if rows % mesh.shape["data"]:
    raise UserError(
        f"a batch of {rows} rows does not divide among the"
        f" {mesh.shape['data']} devices of mesh.data: make data.batch_size a"
        " multiple."
    )
  selection = Selection(**config.keep_best.to_dict())
  selection.check({name: e.every for name, e in config.evals.items()})


def check_maskable(num_tokens: np.ndarray, mask_rate: float) -> str:
  """Checks that masking has something to hide.

  Args:
    num_tokens: [sequences] tokens of each, CLS not counted.
    mask_rate: share of them that is masked.

  Returns:
    What to tell of short sequences; empty if few are short.

  Raises:
    UserError: if less than one token is masked per epoch.
  """
  expected = mask_rate * float(num_tokens.sum())
  if expected < 1:
    raise UserError(
        f"nothing to learn: the split has {num_tokens.sum():,} tokens, of"
        f" which mask_rate {mask_rate:g} hides {expected:.2f} per epoch."
        " Prepare more events, or raise --config.objective.mask_rate."
    )
  alone = float((num_tokens <= 1).mean())
  short = float((num_tokens * mask_rate < 1).mean())
  if short < _MANY_SHORT:
    return ""
  return (
      f"{short:.1%} of the sequences have fewer than {1 / mask_rate:.3g}"
      " tokens: none of theirs is masked in some epochs"
      f" ({alone:.1%} have one token or none, and no context to predict it"
      " from)"
  )


def check_sessions(requires: Requires, tokenizer: Tokenizer) -> None:
  """Raises UserError if an objective needs sessions and there are none."""
  if "sessions" in requires.fields and (
      tokenizer.settings.sessions.kind == "none"
  ):
    raise UserError(
        "the objective reads where sessions begin, but each sequence is one"
        " session. Set --config.tokenizer.sessions=1800, say (seconds of"
        " silence between two)."
    )


def check_step(
    recipe: Recipe,
    config: ml_collections.ConfigDict,
    shapes: Mapping[str, tuple[tuple[int, ...], np.dtype]] | None = None,
) -> None:
  """Runs a step of a recipe in shapes alone: nothing is computed.

  Args:
    recipe: of the run.
    config: of the run.
    shapes: of a batch; `recipe.batch_shapes()` if not given.

  Raises:
    UserError: if the model refuses its settings, a field is missing in the
      batch, or a large parameter would be on every device unseen.
  """
  batch = {
      name: jax.ShapeDtypeStruct(shape, dtype)
      for name, (shape, dtype) in (shapes or recipe.batch_shapes()).items()
  }

  def run(batch: Any) -> Any:
    model = recipe.make_model(rngs=nnx.Rngs(0))
    state = recipe.objective.init_state()
    key = jax.random.key(0)
    return recipe.objective.loss(model, batch, state, key)[0]

  try:
    model = nnx.eval_shape(lambda: recipe.make_model(rngs=nnx.Rngs(0)))
    loss = nnx.eval_shape(run, batch)
  except UserError:
    raise
  except KeyError as error:
    raise UserError(
        f"the model or its objective reads the field {error}, which the"
        f" batches do not have; they have {', '.join(batch)}."
    ) from error
  except ValueError as error:
    raise UserError(f"config.model: {error}") from error
  if loss.shape != () or not jnp.issubdtype(loss.dtype, jnp.floating):
    raise ValueError(f"the loss is {loss}, not a floating point number")
  names = uncovered(split_model(model)[1])
  if config.mesh.model > 1 and names:
    raise UserError(
        f"mesh.model is {config.mesh.model}, but no sharding rule covers the"
        f" parameters {', '.join(names)} of more than {LARGE:,} numbers: each"
        " device would hold all of them. Add a rule to"
        " behavior_lm/training/sharding.py, or set mesh.model=1."
    )
