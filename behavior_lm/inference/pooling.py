"""Hidden states of windows -> one vector a sequence.

A window is CLS and some events of one sequence. On the device each window
becomes one vector; on the host the windows of a sequence become one.
"""

from collections.abc import Callable
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class Pooling:
  """One way to make a vector.

  Attributes:
    reduce: hidden [batch, length, embed_dim] float32 and is_event
      [batch, length] bool -> [batch, embed_dim]; runs on the device.
    combine: joins the vectors of two windows of a sequence.
    by_events: divide the combined vector by the number of events.
    last_only: the last window decides, others are not computed.
  """

  reduce: Callable[[jax.Array, jax.Array], jax.Array]
  combine: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.add
  by_events: bool = False
  last_only: bool = False


def _sum(hidden: jax.Array, is_event: jax.Array) -> jax.Array:
  return jnp.where(is_event[..., None], hidden, 0).sum(1)


def _cls(hidden: jax.Array, is_event: jax.Array) -> jax.Array:
  return hidden[:, 0] * is_event.sum(1)[:, None]


def _max(hidden: jax.Array, is_event: jax.Array) -> jax.Array:
  return jnp.where(is_event[..., None], hidden, -jnp.inf).max(1)


def _last(hidden: jax.Array, is_event: jax.Array) -> jax.Array:
  # CLS is before the events, so their number is the offset of the last.
  at = is_event.sum(1)[:, None, None]
  return jnp.take_along_axis(hidden, at, axis=1)[:, 0]


POOLINGS = {
    # Mean over all events of the sequence; CLS does not count.
    "mean": Pooling(_sum, by_events=True),
    # CLS of each window, weighted by its number of events.
    "cls": Pooling(_cls, by_events=True),
    # Maximum of each coordinate over all events.
    "max": Pooling(_max, combine=np.maximum),
    # The last event: what a causal model knows in the end.
    "last": Pooling(_last, last_only=True),
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
