"""Softmax attention by tiles of scores: the one core of all kernels.

As FlashAttention (arXiv 2205.14135): scores exist a tile at a time, and the
gradient computes them again from the logarithm of each query's softmax
denominator. Scores stand as [keys, queries]: then all seven products of value
and gradient have untransposed left operands but for copies of keys and values,
which are small; see `behavior_lm.common.layout`.
"""

from collections.abc import Callable, Sequence
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp

from behavior_lm.common.layout import transposed

# The bias of a pair that must not meet. Finite, so that a query without any
# key gives no NaN: it gets the mean of the values, to be dropped by the caller.
MASKED_BIAS = -1e30
# On CPU, scores that are computed at once: they should stay in a cache between
# the passes over them.
SCORES_AT_ONCE = 2**20
# On others all of them, up to 1 GB over all rows.
SCORES_AT_ONCE_ELSEWHERE = 2**28

# Slices of the bias' arrays -> [tiles, heads or 1, keys, queries] float32.
MakeBias = Callable[..., jax.Array]
Arrays = tuple[jax.Array, ...]


def mask_bias(mask: jax.Array) -> jax.Array:
  """0 where `mask` is True, a score that no other survives elsewhere."""
  return jnp.where(mask, 0.0, MASKED_BIAS)


def segment_bias(query_ids: jax.Array, key_ids: jax.Array) -> jax.Array:
  """Same segment: [tiles, 1, 1, queries], [tiles, 1, keys, 1] -> a bias."""
  return mask_bias(query_ids == key_ids)


def causal_bias(
    query_ids: jax.Array,
    key_ids: jax.Array,
    query_places: jax.Array,
    key_places: jax.Array,
) -> jax.Array:
  """Likewise, and no key stands behind its query."""
  return mask_bias((query_ids == key_ids) & (key_places <= query_places))


def since_bias(
    query_ids: jax.Array,
    key_ids: jax.Array,
    query_places: jax.Array,
    key_places: jax.Array,
    query_since: jax.Array,
) -> jax.Array:
  """Likewise, and the query sees no key before its position `since`."""
  seen = (key_places <= query_places) & (key_places >= query_since)
  return mask_bias((query_ids == key_ids) & seen)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def attend_tiles(
    make_bias: MakeBias,
    rows: int,
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *bias: jax.Array,
) -> jax.Array:
  """softmax(Q K^T + bias) V by tiles.

  Args:
    make_bias: makes a tile's bias from slices of `bias`, on the spot.
    rows: of which the tiles are, each row's together. Devices may share rows.
    query: [tiles, heads, queries, head_dim], scaled.
    key, value: [key_tiles, heads, keys, head_dim]. tiles = n * key_tiles: n
      tiles of queries in a row meet the same keys.
    *bias: arrays whose first axis is `tiles`, or `key_tiles` for what belongs
      to keys; they take no gradient.

  Returns:
    [tiles, heads, queries, head_dim] in the type of `value`.
  """
  return _forward(make_bias, rows, query, key, value, *bias)[0]


def join_parts(
    outs: Sequence[jax.Array], log_totals: Sequence[jax.Array]
) -> jax.Array:
  """One softmax over the keys of all parts.

  Args:
    outs: each [..., queries, head_dim], as `attend_tiles` gives them.
    log_totals: each [..., queries].

  Returns:
    [..., queries, head_dim] in the type of the outs.
  """
  weights = jax.nn.softmax(jnp.stack(log_totals), 0)[..., None]
  joined = sum(
      weight * out.astype(jnp.float32)
      for weight, out in zip(weights, outs, strict=True)
  )
  return jnp.asarray(joined).astype(outs[0].dtype)


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
  """[..., m, k] @ [..., k, n] in float32."""
  return jnp.matmul(left, right, preferred_element_type=jnp.float32)


def _product_of_rows(left: jax.Array, right: jax.Array) -> jax.Array:
  """[..., m, k] and [..., n, k] -> [..., m, n] in float32."""
  last = (left.ndim - 1,)
  lead = tuple(range(left.ndim - 2))
  return jax.lax.dot_general(
      left,
      right,
      ((last, last), (lead, lead)),
      preferred_element_type=jnp.float32,
  )


def attend_tile(
    bias: jax.Array, query: jax.Array, key: jax.Array, value: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """`attend_tiles` of tiles that are there, without its gradient.

  Args:
    bias: [..., keys, queries] float32.
    query: [..., queries, head_dim], scaled.
    key, value: [..., keys, head_dim].

  Returns:
    [..., queries, head_dim] in the type of `value`, and float32 [..., queries].
  """
  # In float32 between the products: bfloat16 keeps 8 bits of a weight.
  scores = _product_of_rows(key, query) + bias
  top = scores.max(-2, keepdims=True)
  weights = jnp.exp(scores - top)
  total = weights.sum(-2, keepdims=True)
  out = _product(transposed(value), weights.astype(value.dtype)) / total
  log_total = (top + jnp.log(total))[..., 0, :]
  return out.swapaxes(-1, -2).astype(value.dtype), log_total


def tile_gradients(
    bias: jax.Array,
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    log_total: jax.Array,
    d_out: jax.Array,
    shared: jax.Array,
) -> Arrays:
  """Gradients of `attend_tile` in query, key and value, in float32.

  Args:
    bias, query, key, value: of `attend_tile`.
    log_total: [..., queries], its second result.
    d_out: [..., queries, head_dim].
    shared: by `shared_slope`.
  """
  scores = _product_of_rows(key, query) + bias
  weights = jnp.exp(scores - log_total[..., None, :])
  d_weights = _product_of_rows(value, d_out)
  d_scores = weights * (d_weights - shared[..., None, :])
  d_scores, weights = (x.astype(query.dtype) for x in (d_scores, weights))
  # Without the barrier XLA makes (K^T S)^T the product S^T K again.
  d_query = jax.lax.optimization_barrier(_product(transposed(key), d_scores))
  return (
      d_query.swapaxes(-1, -2),
      _product(d_scores, query),
      _product(weights, d_out),
  )


def shared_slope(out: jax.Array, d_out: jax.Array) -> jax.Array:
  """What normalising takes back from every score of a query, [..., queries]."""
  return (d_out.astype(jnp.float32) * out.astype(jnp.float32)).sum(-1)


def _forward(
    make_bias: MakeBias,
    rows: int,
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *bias: jax.Array,
) -> tuple[jax.Array, Any]:
  operands = (query, key, value, *bias)
  run = lambda query, key, value, *bias: attend_tile(
      make_bias(*bias), query, key, value
  )
  shapes = (
      jax.ShapeDtypeStruct((*query.shape[:3], value.shape[-1]), value.dtype),
      jax.ShapeDtypeStruct(query.shape[:3], jnp.float32),
  )
  out, log_total = _over_tiles(rows, run, shapes, *operands)
  return out, (operands, out, log_total)


def _backward(
    make_bias: MakeBias, rows: int, kept: Any, d_out: jax.Array
) -> Any:
  (query, key, value, *bias), out, log_total = kept
  shared = shared_slope(out, d_out)

  def run(
      query: jax.Array,
      key: jax.Array,
      value: jax.Array,
      log_total: jax.Array,
      d_out: jax.Array,
      shared: jax.Array,
      *bias: jax.Array,
  ) -> Arrays:
    tile = (query, key, value, log_total, d_out, shared)
    return tile_gradients(make_bias(*bias), *tile)

  # Keys that several tiles meet gather their gradients in float32.
  several = len(query) != len(key)
  kind = lambda x: jax.ShapeDtypeStruct(
      x.shape, jnp.float32 if several else x.dtype
  )
  of_query = jax.ShapeDtypeStruct(query.shape, query.dtype)
  shapes = (of_query, *map(kind, (key, value)))
  found = _over_tiles(
      rows, run, shapes, query, key, value, log_total, d_out, shared, *bias
  )
  grads = (
      grad.astype(x.dtype)
      for grad, x in zip(found, (query, key, value), strict=True)
  )
  return (*grads, *(None for _ in bias))


attend_tiles.defvjp(_forward, _backward)


def _over_tiles(
    rows: int,
    run: Callable[..., Arrays],
    shapes: tuple[jax.ShapeDtypeStruct, ...],
    *operands: jax.Array,
) -> Arrays:
  """`run` over all tiles; on CPU over as many at once as a cache holds.

  Other devices want all of the work at once, if its scores fit into memory.
  Where they do not, a loop goes over some tiles of each row: rows may lie on
  several devices, and what lies there cannot be cut into pieces in turn.

  Args:
    rows: that the tiles are of.
    run: takes slices of the operands, gives slices of the results.
    shapes: of the results. Those that have a row for each tile of keys are
      summed over its tiles of queries.
    *operands: query and key first.
  """
  by = lambda rows, most: functools.partial(_in_turn, rows, most, run, shapes)
  return jax.lax.platform_dependent(
      *operands,
      cpu=by(1, SCORES_AT_ONCE),
      default=by(rows, SCORES_AT_ONCE_ELSEWHERE // rows),
  )


def _in_turn(
    rows: int,
    most: int,
    run: Callable[..., Arrays],
    shapes: tuple[jax.ShapeDtypeStruct, ...],
    *operands: jax.Array,
) -> Arrays:
  """`run` over some tiles of every row at once, then over the next of them.

  Args:
    rows: that the tiles are of.
    most: scores of a row that are made at once, but one tile's at least.
    run, shapes, *operands: see `_over_tiles`.
  """
  query, key = operands[:2]
  num_tiles = len(query) // rows
  scores = math.prod((query.shape[1], query.shape[2], key.shape[2]))
  size = tiles_at_once(num_tiles, len(query) // len(key), most // scores)

  # On CPU all tiles are of one row, and an axis for it would cost copies.
  lead = (rows,) if rows > 1 else ()
  axis = len(lead)

  def place(a_row: int, step: Any) -> tuple[Any, int, int]:
    """A step in an array of so many tiles a row: from where, how many.

    And how many of the step's tiles of queries share each of them.
    """
    count = max(1, size * a_row // num_tiles)
    return step * size * a_row // num_tiles, count, size // count

  def cut(x: jax.Array, step: Any) -> jax.Array:
    at, count, each = place(len(x) // rows, step)
    x = x.reshape(*lead, -1, *x.shape[1:])
    x = jax.lax.dynamic_slice_in_dim(x, at, count, axis)
    x = x.reshape(-1, *x.shape[axis + 1 :])
    return jnp.repeat(x, each, 0) if each > 1 else x

  def put(out: jax.Array, new: jax.Array, step: Any) -> jax.Array:
    at, count, each = place(out.shape[axis], step)
    if each > 1:
      new = new.reshape(-1, each, *new.shape[1:]).sum(1)
    new = new.reshape(*lead, count, *new.shape[1:]).astype(out.dtype)
    if out.shape[axis] != num_tiles:
      new = new + jax.lax.dynamic_slice_in_dim(out, at, count, axis)
    return jax.lax.dynamic_update_slice_in_dim(out, new, at, axis)

  def one(step: Any, outs: Arrays) -> Arrays:
    found = run(*(cut(x, step) for x in operands))
    return tuple(
        put(out, new, step) for out, new in zip(outs, found, strict=True)
    )

  outs = tuple(
      jnp.zeros((*lead, x.shape[0] // rows, *x.shape[1:]), x.dtype)
      for x in shapes
  )
  # A single step is no loop.
  outs = jax.lax.fori_loop(0, num_tiles // size, one, outs)
  return tuple(x.reshape(-1, *x.shape[axis + 1 :]) for x in outs)


def tiles_at_once(num_tiles: int, repeats: int, wanted: int) -> int:
  """How many of a row's tiles at most `wanted` are, in equal steps.

  Whole groups of `repeats` tiles, which share keys, or equal parts of one.
  """
  fits = lambda n: n % repeats == 0 or repeats % n == 0
  sizes = (n for n in range(1, num_tiles + 1) if num_tiles % n == 0)
  return max((n for n in sizes if n <= wanted and fits(n)), default=1)
