"""Which rows the chunks of sorted tokens take, and what goes back to rows."""

from collections.abc import Callable
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from behavior_lm.attention.hashing import Order
from behavior_lm.attention.tiles import Arrays
from behavior_lm.attention.tiles import SCORES_AT_ONCE
from behavior_lm.attention.tiles import SCORES_AT_ONCE_ELSEWHERE
from behavior_lm.attention.tiles import tiles_at_once

# Of the arrays of a plan, and of all that belongs to its chunks.
_CHUNK_AXIS = 3


class ChunkPlan(NamedTuple):
  """Which row each chunk takes, and where each row went.

  Attributes:
    queries: [batch, heads, rounds, chunks, chunk], offsets in the row.
    seen: [batch, heads, rounds, chunks, keys], likewise: those of the chunk
      before and its own.
    places: [batch, heads, rounds, length], among the queries of all chunks of a
      round.
    seen_places: of the same shape each, where an offset stands among the keys
      of all rounds and chunks: once as its own chunk's and, if there is more
      than one chunk, once as the next one's.
  """

  queries: jax.Array
  seen: jax.Array
  places: jax.Array
  seen_places: tuple[jax.Array, ...]


def make_plan(
    order: Order, num_chunks: int, *, across_rounds: bool
) -> ChunkPlan:
  """Chunks of sorted tokens, each of which sees itself and the one before.

  Args:
    order: of [batch, heads, rounds, length], as many whole chunks.
    num_chunks: of a round; one that is alone sees itself only.
    across_rounds: the first of a round looks back at the last of the round
      before, not of its own.
  """
  *lead, rounds, length = order.order.shape
  size = length // num_chunks
  queries = order.order.reshape(*lead, rounds, num_chunks, size)
  if num_chunks == 1:
    starts = jnp.arange(rounds)[:, None] * length
    return ChunkPlan(queries, queries, order.place, (order.place + starts,))
  ring = (rounds * num_chunks,) if across_rounds else (rounds, num_chunks)
  before = jnp.roll(queries.reshape(*lead, *ring, size), 1, -2)
  seen = jnp.concatenate([before.reshape(queries.shape), queries], -1)
  chunk, inside = order.place // size, order.place % size
  first = jnp.arange(rounds)[:, None] * num_chunks
  if across_rounds:
    after = (first + chunk + 1) % (rounds * num_chunks)
  else:
    after = first + (chunk + 1) % num_chunks
  own = 2 * size * (first + chunk) + size + inside
  return ChunkPlan(queries, seen, order.place, (own, 2 * size * after + inside))


def take(x: jax.Array, at: jax.Array) -> jax.Array:
  """Rows of x [batch, heads, n, width] at places [batch, heads, ...]."""
  found = jnp.take_along_axis(
      x, at.reshape(*at.shape[:2], -1, 1), 2, mode="promise_in_bounds"
  )
  return found.reshape(*at.shape, x.shape[-1])


def _flat(x: jax.Array) -> jax.Array:
  """[batch, heads, ..., width] -> [batch, heads, n, width]."""
  return x.reshape(*x.shape[:2], -1, x.shape[-1])


def sum_seen(x: jax.Array, plan: ChunkPlan) -> jax.Array:
  """[.., rounds, chunks, keys, width] -> [batch, heads, length, width].

  Gradients of gathers are scatters, which are slow; here, as each token stands
  at known places, they are gathers too.
  """
  parts = [take(_flat(x), places) for places in plan.seen_places]
  return sum(parts[1:], parts[0]).sum(2)


@jax.custom_vjp
def to_row(x: jax.Array, plan: ChunkPlan) -> jax.Array:
  """[.., rounds, chunks, chunk, width] -> [.., rounds, length, width].

  Undoes the sorting.
  """
  rounds = plan.places.shape[2]
  starts = jnp.arange(rounds)[:, None] * plan.places.shape[3]
  return take(_flat(x), plan.places + starts)


def _row_gradient(plan: ChunkPlan, g: jax.Array) -> tuple[jax.Array, None]:
  rounds, _, _ = plan.queries.shape[2:]
  starts = jnp.arange(rounds)[:, None, None] * plan.places.shape[3]
  return take(_flat(g), plan.queries + starts), None


to_row.defvjp(lambda x, plan: (to_row(x, plan), plan), _row_gradient)


def few_chunks_at_once(
    run: Callable[..., Arrays], plan: ChunkPlan, *operands: jax.Array
) -> Arrays:
  """`run(queries, seen, *operands)` over all chunks of all rounds.

  On CPU over as many at once as a cache holds the scores of. Other devices
  want all of the work at once, if its scores fit into memory.

  Args:
    run: takes slices of the plan's arrays and the operands, gives arrays like
      them.
    plan: chunks.
    *operands: [batch, heads, rounds, chunks, ...] each.
  """
  operands = (plan.queries, plan.seen, *operands)
  return jax.lax.platform_dependent(
      *operands,
      cpu=functools.partial(_in_turn, SCORES_AT_ONCE, run),
      default=functools.partial(_in_turn, SCORES_AT_ONCE_ELSEWHERE, run),
  )


def _in_turn(
    most: int, run: Callable[..., Arrays], *operands: jax.Array
) -> Arrays:
  """`run` over so many chunks at once that no more scores are made."""
  queries, seen = operands[:2]
  num_chunks = queries.shape[_CHUNK_AXIS]
  lead = math.prod(queries.shape[:_CHUNK_AXIS])
  scores = lead * queries.shape[-1] * seen.shape[-1]
  size = tiles_at_once(num_chunks, 1, most // scores)
  if size == num_chunks:
    return run(*operands)

  def step(index: int, outs: Arrays) -> Arrays:
    start = index * size
    few = (
        jax.lax.dynamic_slice_in_dim(x, start, size, _CHUNK_AXIS)
        for x in operands
    )
    return tuple(
        jax.lax.dynamic_update_slice_in_dim(out, new, start, _CHUNK_AXIS)
        for out, new in zip(outs, run(*few), strict=True)
    )

  shapes = jax.eval_shape(run, *operands)
  outs = tuple(jnp.zeros(x.shape, x.dtype) for x in shapes)
  return jax.lax.fori_loop(0, num_chunks // size, step, outs)
