"""Vectors of windows -> one vector a sequence.

A window is CLS and some events of one sequence. On the device each window
becomes one vector (`layers.pooling`); here the windows of a sequence become
one.
"""

from collections.abc import Callable
import dataclasses
import operator
from typing import Any

import jax
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.layers import pooling as layers
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
  """

  name: str
  options: tuple[tuple[str, Any], ...] = ()
  combine: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.add
  by_events: bool = False
  last_only: bool = False

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


def make_program(
    graphdef: Any,
    layer: int,
    pooling: Pooling,
    encoder_of: Callable[[Any], Any] = operator.attrgetter("encoder"),
) -> Any:
  """A pure function (state, batch) -> [batch, embed_dim] float32.

  Args:
    graphdef: of the model that `state` belongs to.
    layer: whose hidden states are pooled, 0 to num_layers.
    pooling: how.
    encoder_of: finds the encoder in the model.
  """

  def program(state: Any, batch: dict[str, jax.Array]) -> jax.Array:
    # Accelerators would compute float32 products with fewer bits, in a way
    # that depends on the shape of the batch.
    with jax.default_matmul_precision("float32"):
      model = merge_model(graphdef, state["params"], state["model_state"])
      hidden = encoder_of(model).encode(batch, layer=layer)
      pool = pooling.layer(hidden.shape[-1])
      pooled = pool(hidden, batch["segment_ids"], batch["positions"], 1)
    return pooled[:, 0]

  return program
