"""Scores the candidates of one request, online.

What is known of the items is encoded ahead; a request gathers their rows, adds
the user's last actions, and goes to the device in one copy. Programs are
compiled ahead for a few numbers of candidates; a request takes the next larger
one. Encoders that do not look at the candidate encode the user once.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.features.requests import ACTION_TABLE
from behavior_lm.data.features.space import IDS_ARRAY
from behavior_lm.data.samples import cells
from behavior_lm.data.samples.sample_columns import CATEGORICAL
from behavior_lm.data.samples.sample_columns import DENSE
from behavior_lm.inference.packing import pack
from behavior_lm.inference.packing import unpack
from behavior_lm.inference.stores.request_arrays import RequestArrays
from behavior_lm.inference.stores.request_arrays import RequestError
from behavior_lm.inference.stores.request_arrays import UserActions
from behavior_lm.recipes.ranking_run import load_ranking_run
from behavior_lm.recipes.ranking_run import RankingRun
from behavior_lm.recipes.shared import request_data
from behavior_lm.training.state import merge_model

SIZES = (1, 10, 100, 1_000)


class RequestRanker:
  """A trained ranker that answers requests.

  Args:
    run: see `recipes.ranking_run`.
    items: what may be shown: the candidate's column, and any other feature
      columns that belong to the item.
    sizes: numbers of candidates that programs are compiled for; a request may
      have as many as the largest, or is cut into parts.

  Raises:
    UserError: if the items lack the candidate's column, or are not unique.
  """

  def __init__(
      self,
      run: RankingRun,
      items: pl.DataFrame,
      sizes: Sequence[int] = SIZES,
  ) -> None:
    if not sizes or min(sizes) < 1:
      raise UserError(f"sizes {sizes!r}: give numbers of candidates.")
    self.run = run
    self.inputs = request_data.ranker_inputs(run.config, run.space)
    self.shift = np.float32(request_data.logit_shift(run.config))
    self.arrays = request_arrays(run, items)
    self._weights = jax.device_put((run.params, run.model_state))
    self._programs = {size: self._compile(size) for size in sorted(sizes)}

  @classmethod
  def load(
      cls,
      folder: str | Path,
      items: pl.DataFrame,
      sizes: Sequence[int] = SIZES,
      *,
      best: bool = True,
  ) -> "RequestRanker":
    """Loads a run folder; the best checkpoint if there is one."""
    return cls(load_ranking_run(folder, best=best), items, sizes)

  def rank(
      self,
      candidates: Sequence[str],
      *,
      time: int,
      actions: UserActions | None = None,
      context: Mapping[str, Any] | None = None,
      user_vector: np.ndarray | None = None,
  ) -> np.ndarray:
    """Scores candidates for one user.

    Args:
      candidates: items; one that is not among the known ones is scored as an
        unknown item, and one that comes twice gets the same score twice.
      time: of the request, microseconds UTC.
      actions: of the user, all strictly before `time`.
      context: {feature column: value} of the user and the request; a value
        that training lacks is unknown, one that is not given is missing.
      user_vector: [dim] of the user from a pretrained encoder, for a run that
        reads one; None is a user without any.

    Returns:
      [candidates, heads] float32 probabilities.

    Raises:
      UserError: if an action is not before the request, or a context column is
        no feature.
    """
    try:
      return self.arrays.rank(
          self._score,
          candidates,
          sizes=list(self._programs),
          num_heads=len(self.run.heads),
          time=time,
          actions=actions,
          context=context,
          user_vector=user_vector,
      )
    except RequestError as error:
      raise UserError(str(error)) from error

  def _score(
      self, arrays: dict[str, np.ndarray], user: dict[str, np.ndarray]
  ) -> jax.Array:
    """[rows, heads] of candidates that are a number of `sizes`."""
    shapes, program = self._programs[len(arrays[IDS_ARRAY])]
    packed = pack(arrays | user, shapes)
    scores: jax.Array = program(self._weights, jax.device_put(packed))
    return scores

  def _shapes(
      self, size: int
  ) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shapes of the arrays that are packed, in the order of the pack."""
    out = {
        name: ((size, *x.shape[1:]), x.dtype)
        for name, x in self.arrays.items.items()
    }
    user = self.arrays.user(UserActions(), 0)
    return out | {name: (x.shape, x.dtype) for name, x in user.items()}

  def _compile(self, size: int) -> tuple[Any, Any]:
    """What is packed for so many candidates, and the compiled program."""
    shapes, graphdef, shift = self._shapes(size), self.run.graphdef, self.shift

    def program(weights: Any, packed: jax.Array) -> jax.Array:
      batch = unpack(packed, shapes)
      with jax.default_matmul_precision("float32"):
        logits = merge_model(graphdef, *weights)(batch)
      return jax.nn.sigmoid(logits + shift)

    numbers = sum(int(np.prod(shape)) for shape, _ in shapes.values())
    packed = jax.ShapeDtypeStruct((numbers,), np.int32)
    return shapes, jax.jit(program).lower(self._weights, packed).compile()


def request_arrays(run: RankingRun, items: pl.DataFrame) -> RequestArrays:
  """Encodes all known items, the unknown one first.

  Args:
    run: whose features the items have.
    items: see `RequestRanker`.

  Raises:
    UserError: if the items lack the candidate's column, or are not unique.
  """
  space, schema = run.space, run.space.schema
  candidate = run.config.data.candidate
  if candidate not in items.columns:
    raise UserError(
        f"the items have no column {candidate!r}; they have"
        f" {', '.join(items.columns)}."
    )
  keys = cells.texts(items[candidate])
  if keys.is_duplicated().any() or keys.null_count():
    raise UserError(
        f"the items' column {candidate!r} must name each item once."
    )
  columns = []
  for name in schema.columns:
    known = cells.texts(items[name]) if name in items.columns else None
    columns.append(_with_first(known, items.height, CATEGORICAL + name))
  for name in schema.names("dense"):
    known = cells.finite(items[name])[0] if name in items.columns else None
    columns.append(_with_first(known, items.height, DENSE + name))
  inputs = request_data.ranker_inputs(run.config, space)
  encoded = space.encode(pl.DataFrame(columns))
  place = schema.names("categorical").index(candidate)
  encoded[IDS_ARRAY][0, place] = inputs.unknown_ids[place]
  about = space.to_json() | {
      "candidate": candidate,
      "action_table": ACTION_TABLE,
      "num_actions": inputs.num_actions,
      "user_dim": inputs.user_dim,
  }
  fields = {k: x for k, x in encoded.items() if k in inputs.fields}
  return RequestArrays(about, fields, keys.to_list())


def _with_first(
    known: pl.Series | None, height: int, name: str
) -> pl.Series:
  """A column of items with a row for the unknown one in front."""
  if known is None:
    kind = pl.Float64 if name.startswith(DENSE) else pl.String
    return pl.Series(name, [None] * (height + 1), dtype=kind)
  head = pl.Series(name, [None], dtype=known.dtype)
  return pl.concat([head, known.alias(name)])
