"""Scores the candidates of one request, online.

What is known of the items is encoded ahead; a request gathers their rows, adds
the user's last actions, and goes to the device in one copy. Programs are
compiled ahead for a few numbers of candidates; a request takes the next larger
one. Encoders that do not look at the candidate encode the user once.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.features.actions import AGES
from behavior_lm.data.features.actions import check_before
from behavior_lm.data.features.actions import COUNTS
from behavior_lm.data.features.actions import ITEMS
from behavior_lm.data.features.actions import TYPES
from behavior_lm.data.features.requests import ACTION_TABLE
from behavior_lm.data.features.space import DENSE_ARRAY
from behavior_lm.data.features.space import IDS_ARRAY
from behavior_lm.data.features.tables import ValueTable
from behavior_lm.data.features.user_vectors import USER_VECTOR
from behavior_lm.data.samples import cells
from behavior_lm.data.samples.sample_columns import CATEGORICAL
from behavior_lm.data.samples.sample_columns import DENSE
from behavior_lm.inference.packing import pack
from behavior_lm.inference.packing import unpack
from behavior_lm.recipes.ranking_run import load_ranking_run
from behavior_lm.recipes.ranking_run import RankingRun
from behavior_lm.recipes.shared import request_data
from behavior_lm.training.state import merge_model

SIZES = (1, 10, 100, 1_000)


@dataclasses.dataclass(frozen=True)
class UserActions:
  """What a user did, in any order.

  Attributes:
    events: [n] event ids, as in the logs of training.
    items: [n] design ids.
    times: [n] int64 microseconds UTC.
  """

  events: Sequence[str] = ()
  items: Sequence[str] = ()
  times: Sequence[int] = ()


class _Index:
  """Ids of values by a dict: a request has few of them."""

  def __init__(self, table: ValueTable) -> None:
    self.table = table
    ids = table.ids(pl.Series(table.values, dtype=pl.String))
    self.known = dict(zip(table.values, ids.tolist(), strict=True))

  def __call__(self, value: str | None) -> int:
    if value is None:
      return self.table.missing
    if self.table.buckets:
      return int(self.table.ids(pl.Series([value], dtype=pl.String))[0])
    return self.known.get(value, self.table.unknown)


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
    self.candidate = run.config.data.candidate
    self.shift = np.float32(request_data.logit_shift(run.config))
    self._tables = {name: _Index(t) for name, t in run.space.tables.items()}
    self._encode_items(items)
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
    user = self._user(actions or UserActions(), time)
    if user_vector is not None and self.inputs.user_dim:
      given = np.asarray(user_vector, np.float32)
      length = max(float(np.linalg.norm(given)), 1e-9)
      user[USER_VECTOR] = (given / length)[None]
    shared = self._context(context or {})
    if not len(candidates):
      return np.zeros((0, len(self.run.heads)), np.float32)
    largest = max(self._programs)
    parts = [
        self._score(candidates[first : first + largest], user, shared)
        for first in range(0, len(candidates), largest)
    ]
    return np.concatenate(parts)

  def _encode_items(self, items: pl.DataFrame) -> None:
    """Arrays of all known items, the unknown one first."""
    space, schema = self.run.space, self.run.space.schema
    if self.candidate not in items.columns:
      raise UserError(
          f"the items have no column {self.candidate!r}; they have"
          f" {', '.join(items.columns)}."
      )
    keys = cells.texts(items[self.candidate])
    if keys.is_duplicated().any() or keys.null_count():
      raise UserError(
          f"the items' column {self.candidate!r} must name each item once."
      )
    columns = []
    for name in schema.columns:
      known = cells.texts(items[name]) if name in items.columns else None
      columns.append(_with_first(known, items.height, CATEGORICAL + name))
    for name in schema.names("dense"):
      known = cells.finite(items[name])[0] if name in items.columns else None
      columns.append(_with_first(known, items.height, DENSE + name))
    self._items = space.encode(pl.DataFrame(columns))
    place = schema.names("categorical").index(self.candidate)
    unknown = self.inputs.unknown_ids[place]
    self._items[IDS_ARRAY][0, place] = unknown
    self._row_of = {key: row + 1 for row, key in enumerate(keys)}

  def _user(self, actions: UserActions, time: int) -> dict[str, np.ndarray]:
    """Fields of the user, one row each."""
    length, dim = self.inputs.num_actions, self.inputs.user_dim
    vector = {USER_VECTOR: np.zeros((1, dim), np.float32)} if dim else {}
    if not length:
      return vector
    times = np.asarray(actions.times, np.int64)
    order = np.argsort(-times, kind="stable")
    types, items = self._tables[ACTION_TABLE], self._tables[self._item_table]
    out = {
        TYPES: np.zeros((1, length), np.int32),
        ITEMS: np.zeros((1, length), np.int32),
        AGES: np.zeros((1, length), np.float32),
        COUNTS: np.zeros((1, self.inputs.num_types), np.float32),
    }
    all_types = np.array([types(event) for event in actions.events], np.int32)
    late = times >= time
    newest = order[:length]
    number = len(newest)
    out[TYPES][0, :number] = all_types[newest]
    out[ITEMS][0, :number] = [items(actions.items[n]) for n in newest]
    out[AGES][0, :number] = (time - times[newest]) / 1e6
    if late.any():
      # The newest actions are the late ones, so the check sees one.
      check_before(out, f"request at {time}")
    np.add.at(out[COUNTS][0], all_types - types.table.offset, 1)
    return out | vector

  @property
  def _item_table(self) -> str:
    for one in self.run.space.schema.categorical:
      if one.name == self.candidate:
        return one.of_table
    raise UserError(f"{self.candidate!r} is no categorical feature.")

  def _context(self, context: Mapping[str, Any]) -> dict[str, Any]:
    """{"ids" or "dense": {column: value}} that all candidates share."""
    schema = self.run.space.schema
    found: dict[str, dict[int, float]] = {IDS_ARRAY: {}, DENSE_ARRAY: {}}
    names, numbers = schema.names("categorical"), schema.names("dense")
    for name, value in context.items():
      if name in names:
        place = names.index(name)
        index = self._tables[schema.categorical[place].of_table]
        found[IDS_ARRAY][place] = index(None if value is None else str(value))
      elif name in numbers:
        place = numbers.index(name)
        one = self.run.space.normalisers[place]
        given = pl.Series([value], dtype=pl.Float64)
        found[DENSE_ARRAY][place] = float(one.apply(given)[0])
        if one.has_missing:
          before = self.run.space.normalisers[:place]
          at = len(numbers) + sum(other.has_missing for other in before)
          found[DENSE_ARRAY][at] = float(value is None)
      else:
        raise UserError(
            f"context column {name!r} is no feature of one value; they are"
            f" {', '.join([*names, *numbers])}."
        )
    return found

  def _score(
      self,
      candidates: Sequence[str],
      user: Mapping[str, np.ndarray],
      shared: Mapping[str, Mapping[int, float]],
  ) -> np.ndarray:
    size = next(n for n in self._programs if n >= len(candidates))
    rows = np.zeros(size, np.int64)
    rows[: len(candidates)] = [self._row_of.get(c, 0) for c in candidates]
    arrays = {name: values[rows] for name, values in self._items.items()}
    for name, columns in shared.items():
      for place, value in columns.items():
        arrays[name][:, place] = value
    shapes, program = self._programs[size]
    packed = pack(arrays | dict(user), shapes)
    found = program(self._weights, jax.device_put(packed))
    return np.asarray(found)[: len(candidates)]

  def _shapes(
      self, size: int
  ) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shapes of the arrays that are packed, in the order of the pack."""
    out = {
        name: ((size, *self._items[name].shape[1:]), self._items[name].dtype)
        for name in self.inputs.fields
        if name in self._items
    }
    user = self._user(UserActions(), 0)
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


def _with_first(
    known: pl.Series | None, height: int, name: str
) -> pl.Series:
  """A column of items with a row for the unknown one in front."""
  if known is None:
    kind = pl.Float64 if name.startswith(DENSE) else pl.String
    return pl.Series(name, [None] * (height + 1), dtype=kind)
  head = pl.Series(name, [None], dtype=known.dtype)
  return pl.concat([head, known.alias(name)])
