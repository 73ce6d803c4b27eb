"""Tokens to experts and back: exact, of static shape, on any backend.

Assignments of tokens to experts are sorted by expert, and the group of each
expert is filled up to whole blocks of rows, so that a block has one expert. All
blocks go through one batched product with the kernels of their experts. There
are at most (assignments + experts * (rows - 1)) / rows blocks, whatever the
loads are: nothing is dropped, and work grows with the experts per token, not
with the number of experts.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

# Bytes of gathered kernels that one product may hold at once.
_KERNEL_BYTES = 2**26


class Blocks(NamedTuple):
  """Where the assignments of n tokens to k experts each are computed.

  Attributes:
    slots: [n, k] int32 row of each assignment among all rows of all blocks;
      their number for a token that is not routed.
    sources: [num_blocks * rows] int32 assignment (token * k + place) that a row
      holds; n * k for a row that fills up.
    experts: [num_blocks] int32, of each block, ascending.
    counts: [num_experts] int32 assignments of each expert.
  """

  slots: jax.Array
  sources: jax.Array
  experts: jax.Array
  counts: jax.Array


def plan_blocks(
    chosen: jax.Array, routed: jax.Array, num_experts: int, rows: int
) -> Blocks:
  """Places assignments in blocks.

  Args:
    chosen: [n, k] int32 experts of each token, all different.
    routed: [n] bool; other tokens go to no expert and are not counted.
    num_experts: of the layer.
    rows: of a block.
  """
  number = chosen.size
  num_blocks = (number + min(num_experts, number) * (rows - 1)) // rows
  expert = jnp.where(routed[:, None], chosen, num_experts).reshape(-1)
  counts = jnp.zeros(num_experts + 1, jnp.int32).at[expert].add(1)
  order = jnp.argsort(expert, stable=True)
  placed = expert[order]
  blocks = -(-counts // rows)
  # The group of those that are not routed lies behind all blocks.
  first_row = ((jnp.cumsum(blocks) - blocks) * rows).at[-1].set(number * rows)
  rank = jnp.arange(number) - (jnp.cumsum(counts) - counts)[placed]
  total = num_blocks * rows
  slot = jnp.minimum(first_row[placed] + rank, total).astype(jnp.int32)
  ends = jnp.cumsum(blocks[:-1])
  experts = jnp.searchsorted(ends, jnp.arange(num_blocks), side="right")
  return Blocks(
      slots=jnp.zeros(number, jnp.int32).at[order].set(slot).reshape(
          chosen.shape
      ),
      sources=jnp.full(total, number, jnp.int32)
      .at[slot]
      .set(order.astype(jnp.int32), mode="drop"),
      experts=jnp.minimum(experts, num_experts - 1).astype(jnp.int32),
      counts=counts[:-1],
  )


def to_blocks(x: jax.Array, blocks: Blocks) -> jax.Array:
  """[n, dim] tokens -> [num_blocks, rows, dim]; rows that fill up are 0."""
  k = blocks.slots.shape[1]
  rows = take_rows(x, blocks.sources // k, blocks.slots)
  return rows.reshape(len(blocks.experts), -1, x.shape[-1])


def from_blocks(y: jax.Array, gates: jax.Array, blocks: Blocks) -> jax.Array:
  """[num_blocks, rows, dim] -> [n, dim], the sum over a token's experts.

  Args:
    y: what the experts made.
    gates: [n, k], weights of the sum.
    blocks: where the assignments are.
  """
  rows = y.reshape(-1, y.shape[-1])
  found = take_rows(rows, blocks.slots.reshape(-1), blocks.sources[:, None])
  found = found.reshape(*gates.shape, -1)
  return (gates[..., None].astype(y.dtype) * found).sum(1)


@jax.custom_vjp
def take_rows(x: jax.Array, index: jax.Array, inverse: jax.Array) -> jax.Array:
  """Rows of x, 0 where there is none; the gradient is a gather, too.

  Args:
    x: [n, dim].
    index: [m] int32 rows of x; n or more takes 0.
    inverse: [n, k] int32: all places where each row of x is taken; m or more is
      no place. A gather adds in one order, which a scatter does not promise.

  Returns:
    [m, dim].
  """
  del inverse
  return _take(x, index)


def _take(x: jax.Array, index: jax.Array) -> jax.Array:
  return x.at[index].get(mode="fill", fill_value=0)


take_rows.defvjp(
    lambda x, index, inverse: (take_rows(x, index, inverse), inverse),
    lambda inverse, g: (_take(g, inverse).sum(1), None, None),
)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def block_product(
    x: jax.Array, kernels: jax.Array, experts: jax.Array, chunk: int = 0
) -> jax.Array:
  """The product of each block with the kernel of its expert.

  Args:
    x: [num_blocks, rows, in_features].
    kernels: [num_experts, in_features, out_features] float32.
    experts: [num_blocks] int32, ascending.
    chunk: blocks of one product, whose kernels are gathered; 0 takes as many
      as fit in 64 MiB. (XLA counts the operations of one chunk alone.)

  Returns:
    [num_blocks, rows, out_features] of the type of x.
  """
  return _product("cbi,cio->cbo", x, kernels, experts, chunk)


def _forward(
    x: jax.Array, kernels: jax.Array, experts: jax.Array, chunk: int
) -> tuple[jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
  return block_product(x, kernels, experts, chunk), (x, kernels, experts)


def _backward(
    chunk: int,
    kept: tuple[jax.Array, jax.Array, jax.Array],
    g: jax.Array,
) -> tuple[jax.Array, jax.Array, None]:
  x, kernels, experts = kept
  d_x = _product("cbo,cio->cbi", g, kernels, experts, chunk)
  size = _chunk(chunk, kernels, len(x))

  def add(total: jax.Array, part: tuple[jax.Array, ...]) -> jax.Array:
    x, g, experts = part
    products = jnp.einsum(
        "cbi,cbo->cio", x, g, preferred_element_type=jnp.float32
    )
    return total.at[experts].add(products, indices_are_sorted=True)

  total = jnp.zeros(kernels.shape, jnp.float32)
  if size >= len(x):
    return d_x, add(total, (x, g, experts)), None
  total, _ = jax.lax.scan(
      lambda total, part: (add(total, part), None),
      total,
      tuple(_split(y, size) for y in (x, g, experts)),
  )
  return d_x, total, None


block_product.defvjp(_forward, _backward)


def _product(
    formula: str,
    x: jax.Array,
    kernels: jax.Array,
    experts: jax.Array,
    chunk: int,
) -> jax.Array:
  def product(part: tuple[jax.Array, jax.Array]) -> jax.Array:
    x, experts = part
    return jnp.einsum(formula, x, kernels[experts].astype(x.dtype))

  size = _chunk(chunk, kernels, len(x))
  if size >= len(x):
    return product((x, experts))
  out = jax.lax.map(product, (_split(x, size), _split(experts, size)))
  return out.reshape(-1, *out.shape[2:])[: len(x)]


def _chunk(chunk: int, kernels: jax.Array, num_blocks: int) -> int:
  if not chunk:
    size = kernels[0].size * kernels.dtype.itemsize
    chunk = max(1, _KERNEL_BYTES // size)
  return min(chunk, num_blocks)


def _split(x: jax.Array, size: int) -> jax.Array:
  """[num_blocks, ...] -> [chunks, size, ...]; the last chunk is filled up.

  It is filled with zeros: rows of 0 add nothing to the gradient of expert 0.
  """
  missing = -len(x) % size
  x = jnp.pad(x, ((0, missing), *(((0, 0),) * (x.ndim - 1))))
  return x.reshape(-1, size, *x.shape[1:])
