"""Vectors of windows -> one vector a sequence.

A window is CLS and some events of one sequence. On the device each window
becomes one vector (`layers.pooling`); here the windows of a sequence become
one.
"""

from collections.abc import Callable, Mapping
import dataclasses
import operator
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data import fields
from behavior_lm.layers import pooling as layers
from behavior_lm.recipes.shared.parts import objective_settings
from behavior_lm.training.state import merge_model


@dataclasses.dataclass(frozen=True)
class Pooling:
  """One way to make a vector.

  Attributes:
    name: key of `layers.pooling.POOLINGS`.
    options: of it.
    combine: joins the vectors of two windows of a sequence.
    by_events: windows weigh as much as they have events.
    last_only: the last window decides, others are not computed.
    history: a history token behind the events is pooled instead of them, see
      `objectives.history_tokens`.
  """

  name: str
  options: tuple[tuple[str, Any], ...] = ()
  combine: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.add
  by_events: bool = False
  last_only: bool = False
  history: bool = False

  def layer(self, embed_dim: int) -> layers.Pooling:
    """What pools a window on the device; it has no parameters."""
    # No random number is drawn where there are no parameters.
    make: Any = layers.POOLINGS[self.name]
    made: layers.Pooling = make(embed_dim, rngs=None, **dict(self.options))
    return made


POOLINGS = {
    # Mean over all events of the sequence; CLS does not count.
    "mean": Pooling("mean", by_events=True),
    # CLS of each window, weighted by its number of events.
    "cls": Pooling("cls", by_events=True),
    # Maximum of each coordinate over all events.
    "max": Pooling("max", combine=np.maximum),
    # The last event: what a causal model knows in the end.
    "last": Pooling("last", last_only=True),
    # The mean of the last 8 events, of those that the last window has.
    "last8": Pooling("last", (("count", 8),), last_only=True),
    # Attention to the events near the middle of each window, which weighs as
    # much as it has events.
    "gaussian": Pooling("gaussian", by_events=True),
    # A history token behind each window, which weighs as much as it has events.
    "history": Pooling("last", by_events=True, history=True),
}


@dataclasses.dataclass
class _Row:
  total: np.ndarray | None = None
  events: int = 0
  windows_missing: int = 0
  complete: bool = False


class RowSums:
  """Combines the vectors of windows, in float64, into one a row.

  Windows arrive in any order. Only rows with a window on its way are held
  beside the finished vectors.

  Args:
    pooling: how.
    embed_dim: width of the vectors.
    num_rows: how many are expected; more are taken, at the price of a copy.
  """

  def __init__(self, pooling: Pooling, embed_dim: int, num_rows: int = 0):
    self._pooling = pooling
    self._open: dict[int, _Row] = {}
    self._vectors = np.empty((num_rows, embed_dim), np.float32)
    self._num_rows = 0

  def expect(self, row: int) -> None:
    """Announces one more window of a row."""
    self._open.setdefault(row, _Row()).windows_missing += 1

  def complete(self, row: int) -> None:
    """Says that all windows of a row have been announced."""
    self._num_rows = max(self._num_rows, row + 1)
    self._open[row].complete = True
    self._finish(row)

  def add(self, row: int, vector: np.ndarray, num_events: int) -> None:
    """Takes the vector of one announced window."""
    state = self._open[row]
    vector = vector.astype(np.float64)
    if self._pooling.by_events:
      vector = vector * num_events
    state.total = (
        vector
        if state.total is None
        else self._pooling.combine(state.total, vector)
    )
    state.events += num_events
    state.windows_missing -= 1
    self._finish(row)

  def vectors(self) -> np.ndarray:
    """[num_rows, embed_dim] float32, when all windows have arrived."""
    if self._open:
      raise RuntimeError(f"{len(self._open)} rows still wait for windows")
    return self._vectors[: self._num_rows]

  def _finish(self, row: int) -> None:
    state = self._open[row]
    if state.windows_missing or not state.complete:
      return
    del self._open[row]
    assert state.total is not None
    if row >= len(self._vectors):
      size = max(64, 2 * len(self._vectors), row + 1)
      grown = np.empty((size, self._vectors.shape[1]), np.float32)
      grown[: len(self._vectors)] = self._vectors
      self._vectors = grown
    divisor = state.events if self._pooling.by_events else 1
    self._vectors[row] = state.total / divisor


def find_pooling(name: str) -> Pooling:
  """The pooling of a name; UserError when there is none."""
  if name not in POOLINGS:
    raise UserError(f"pooling {name!r}; known are {', '.join(POOLINGS)}.")
  return POOLINGS[name]


def choose_pooling(name: str, config: ml_collections.ConfigDict) -> Pooling:
  """The pooling of a name, for a run with this config.

  Raises:
    UserError: if there is none, or it would tell nothing of this model.
  """
  chosen = find_pooling(name)
  if name == "cls" and config.model.causal:
    raise UserError(
        "pooling 'cls': this model is causal, so its CLS, the first token,"
        " knows no event. Take 'last' or 'mean'."
    )
  if chosen.history and not has_history_tokens(config):
    raise UserError(
        "pooling 'history': this model was not trained with history tokens"
        " (objective next_events with a history_rate above 0). Take 'last' or"
        " 'mean'."
    )
  return chosen


def has_history_tokens(config: ml_collections.ConfigDict) -> bool:
  """Whether a pretraining run was trained with them."""
  settings = objective_settings(config).values()
  return any(one.get("history_rate") for one in settings)


def add_history_tokens(
    batch: Mapping[str, jax.Array],
    max_length: int,
    table: Mapping[str, fields.Field],
) -> dict[str, jax.Array]:
  """Rows of one segment each, with a history token behind it.

  Args:
    batch: {field: [rows, length]}, all of tokens.
    max_length: of the model; behind a full window the token has the position
      of the last event.
    table: of the fields.

  Returns:
    The same fields, [rows, length + 1].
  """
  at = (batch["segment_ids"] > 0).sum(1)
  hidden = fields.hidden_values(batch, table)
  own = {"segment_ids": 1, "positions": jnp.minimum(at, max_length - 1)}
  out = {}
  for name, x in batch.items():
    pad = fields.find_field(name, table).pad
    x = jnp.pad(x, ((0, 0), (0, 1)), constant_values=pad)
    value = own.get(name, hidden.get(name, pad))
    out[name] = x.at[jnp.arange(len(x)), at].set(value)
  return out


def make_program(
    graphdef: Any,
    layer: int,
    pooling: Pooling,
    encoder_of: Callable[[Any], Any] = operator.attrgetter("encoder"),
    *,
    table: Mapping[str, fields.Field],
) -> Any:
  """A pure function (state, batch) -> [batch, embed_dim] float32.

  Args:
    graphdef: of the model that `state` belongs to.
    layer: whose hidden states are pooled, 0 to num_layers.
    pooling: how.
    encoder_of: finds the encoder in the model.
    table: of the fields of a batch.
  """

  def program(state: Any, batch: dict[str, jax.Array]) -> jax.Array:
    # Accelerators would compute float32 products with fewer bits, in a way
    # that depends on the shape of the batch.
    with jax.default_matmul_precision("float32"):
      model = merge_model(graphdef, state["params"], state["model_state"])
      encoder = encoder_of(model)
      if pooling.history:
        batch = add_history_tokens(batch, encoder.config.max_length, table)
      hidden = encoder.encode(batch, layer=layer)
      pool = pooling.layer(hidden.shape[-1])
      pooled = pool(hidden, batch["segment_ids"], batch["positions"], 1)
    return pooled[:, 0]

  return program
