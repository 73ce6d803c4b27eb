"""What a masking strategy hides, and how well hidden events are known."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.fields import Batch
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.objectives.masked_events import MaskedEvents
from behavior_lm.recipes.pretrain import TOKENIZER
from behavior_lm.recipes.shared.restoring import open_run
from behavior_lm.recipes.shared.restoring import restore_objective

_CONFIDENCE = "confidence"


def draw_masks(
    objective: MaskedEvents,
    batch: Batch,
    state: Mapping[str, Any],
    *,
    num_draws: int = 1,
    seed: int = 0,
) -> np.ndarray:
  """Which tokens of a batch an objective would hide, drawn several times.

  Args:
    objective: of masked events, see `recipes.pretrain.make_objective`.
    batch: the fields that it requires, [rows, length] each.
    state: of the objective: `init_state()`, or with the confidence of a run,
      {"confidence": token_confidence(run)["confidence"].to_numpy()}.
    num_draws: times.
    seed: the same one draws the same masks.

  Returns:
    [num_draws, rows, length] bool.
  """

  # The batch is an argument: as a constant it would be sorted by the compiler.
  @jax.jit
  def draw_all(keys: jax.Array, batch: Any, state: Any) -> jax.Array:
    def draw(key: jax.Array) -> jax.Array:
      _, targets = objective.corrupt(batch, key, state)
      chosen = jnp.zeros(batch["tokens"].shape, jnp.int32)
      rows = jnp.arange(len(chosen))[:, None]
      weights = (targets["weights"] > 0).astype(jnp.int32)
      # Places that are not chosen are all written as the first one, with 0.
      return chosen.at[rows, targets["at"]].max(weights) > 0

    masks: jax.Array = jax.lax.map(draw, keys)
    return masks

  keys = jax.random.split(jax.random.key(seed), num_draws)
  return np.asarray(draw_all(keys, dict(batch), dict(state)))


def token_confidence(
    folder: str | Path, step: int | None = None
) -> pl.DataFrame:
  """How well a run predicts each token: what `mtc` and `pmtc` hide by.

  Args:
    folder: a run trained with objective.strategy=mtc or pmtc.
    step: of the checkpoint; the last one when None.

  Returns:
    token, its name, and confidence, the running mean of the probability that
    the model gave it where it was masked; 0 if it never was. A row per token
    in the order of their numbers, special ones too.

  Raises:
    UserError: if there is no such run, or it kept no confidence.
  """
  folder = Path(folder)
  open_run(folder, "pretrain")
  state = restore_objective(folder, step)
  if _CONFIDENCE not in state:
    raise UserError(
        f"{folder}: its objective kept no confidence. Train it with"
        " --config.objective.strategy=mtc, or pmtc."
    )
  tokenizer = load_tokenizer(folder / TOKENIZER)
  return pl.DataFrame({
      "token": list(tokenizer.tokens),
      _CONFIDENCE: np.asarray(state[_CONFIDENCE]),
  })
