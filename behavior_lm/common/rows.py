"""Some tokens of each row, by their offsets.

Row by row (`jax.vmap`): then devices that share a batch need not exchange any.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def take_rows(x: jax.Array, offsets: jax.Array, fill: int = 0) -> jax.Array:
  """x [batch, length, ...] at offsets [batch, n]; `fill` beyond the row."""
  take = lambda row, at: row.at[at].get(mode="fill", fill_value=fill)
  return jax.vmap(take)(jnp.asarray(x), offsets)


def take_rows_or_all(x: jax.Array, offsets: jax.Array | None) -> jax.Array:
  """`take_rows`, or all of them where None are named."""
  return x if offsets is None else take_rows(x, offsets)


def put_rows(x: jax.Array, offsets: jax.Array, new: jax.Array) -> jax.Array:
  """x with new [batch, n, ...] at offsets; beyond the row they are dropped."""
  put = lambda row, at, values: row.at[at].set(values, mode="drop")
  return jax.vmap(put)(x, offsets, new.astype(x.dtype))


def reduce_segments(
    reduce: Callable[..., jax.Array],
    x: jax.Array,
    segment_ids: jax.Array,
    num_segments: int,
) -> jax.Array:
  """`jax.ops.segment_max`, say, of the segments of each row.

  Args:
    reduce: a function of `jax.ops`.
    x: [batch, length].
    segment_ids: [batch, length] int32; 0 marks padding.
    num_segments: of a row at most.

  Returns:
    [batch, num_segments + 1]; the first one is that of padding.
  """
  row = lambda x, ids: reduce(x, ids, num_segments=num_segments + 1)
  return jax.vmap(row)(x, segment_ids)


def session_segments(
    segment_ids: jax.Array, sessions: jax.Array
) -> jax.Array:
  """[batch, length] int32 each -> ids of the sessions of all segments.

  They count from 1 along the row; padding keeps 0.
  """
  starts = lambda ids: jnp.diff(ids, axis=1, prepend=ids[:, :1] - 1) != 0
  numbers = jnp.cumsum(starts(segment_ids) | starts(sessions), 1)
  return jnp.where(segment_ids > 0, numbers, 0)
