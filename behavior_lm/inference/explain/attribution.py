"""Which events carry a prediction: integrated gradients.

Sundararajan, Taly and Yan (arXiv 1703.01365), equation 1: what an output gains
over that of a baseline is shared out among the inputs,

  (x - x') * integral over a from 0 to 1 of dF(x' + a (x - x')) / dx

Here x are the embeddings of a sequence, and x' those of the same sequence with
all events hidden as masking hides them: what is left are CLS, and how many
events and sessions there are. The shares of a token's numbers are added up; the
sum over all tokens is F(x) - F(x') but for the error of the sum that stands for
the integral.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl

from behavior_lm.data.fields import Batch
from behavior_lm.data.fields import Field
from behavior_lm.data.fields import hide
from behavior_lm.data.token_source import Fields
from behavior_lm.logs import schema
from behavior_lm.training.state import merge_model

# Columns of `token_table`.
TABLE: dict[str, Any] = {
    schema.USER_ID: pl.String,
    schema.TIMESTAMP: schema.EVENT_SCHEMA[schema.TIMESTAMP],
    "token": pl.Int32,
    "label": pl.String,
    "attribution": pl.Float32,
    "prediction": pl.Float32,
    "baseline": pl.Float32,
}


def hide_events(batch: Batch, table: Mapping[str, Field]) -> Batch:
  """Hides every event of the rows; CLS and padding stay as they are.

  Args:
    batch: arrays of fields, [rows, length] each.
    table: of the fields.
  """
  events = (batch["segment_ids"] > 0) & (batch["tokens"] != schema.CLS_ID)
  return hide(batch, events, batch, table)


def make_attribution(graphdef: Any) -> Callable[..., Any]:
  """The program of integrated gradients.

  Args:
    graphdef: of a model with an `encoder`, which gives [rows, segments,
      outputs]; rows are one segment each.

  Returns:
    a pure function (params, model_state, batch, hidden, output, steps) ->
    [rows, length] shares of the tokens, and [2, rows] F(x') and F(x). `output`
    is the number of the model's output, `steps` (static) the points of the
    integral, by the midpoint rule.
  """

  def program(
      params: Any,
      model_state: Any,
      batch: Mapping[str, jax.Array],
      hidden: Mapping[str, jax.Array],
      output: jax.Array,
      steps: int,
  ) -> tuple[jax.Array, jax.Array]:
    with jax.default_matmul_precision("float32"):
      merge = lambda: merge_model(graphdef, params, model_state)
      start, end = (merge().encoder.embedded(x) for x in (hidden, batch))
      way = (end - start).astype(jnp.float32)

      def predict(share: jax.Array) -> jax.Array:
        embedded = (start + share * way).astype(start.dtype)
        return merge()({**batch, "embedded": embedded})[:, 0, output]

      def slope(share: jax.Array) -> jax.Array:
        """[rows, length]: the way times the gradient there."""
        along = lambda x: predict(share + x[..., None]).sum()
        # The derivative by a token's own share is that along its way.
        return jax.grad(along)(jnp.zeros(way.shape[:2]))

      shares = (jnp.arange(steps) + 0.5) / steps
      total = jax.lax.map(slope, shares).mean(0)
      ends = jnp.stack([predict(jnp.zeros(())), predict(jnp.ones(()))])
      return total, ends

  return program


def token_table(
    sequence: Fields,
    user: str,
    start: Any,
    label: str,
    shares: np.ndarray,
    ends: np.ndarray,
) -> pl.DataFrame:
  """A row per token of one row of `make_attribution`: CLS, then its events.

  Args:
    sequence: whose last tokens were read.
    user: whose it is.
    start: a datetime, of its first event.
    label: that is predicted.
    shares: [length] of the row.
    ends: [2], of the baseline and of the sequence.
  """
  tokens = sequence["tokens"][-(len(shares) - 1) :]
  seconds = sequence["times"][-len(tokens) :]
  micros = np.rint(np.append(seconds[:1], seconds) * 1e6).astype(np.int64)
  return pl.DataFrame(
      {
          schema.USER_ID: user,
          schema.TIMESTAMP: start + pl.Series(micros).cast(pl.Duration("us")),
          "token": np.append(schema.CLS_ID, tokens),
          "label": label,
          "attribution": shares[: len(tokens) + 1],
          "prediction": ends[1],
          "baseline": ends[0],
      },
      schema_overrides=TABLE,
  )
