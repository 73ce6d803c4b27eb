"""A position-wise net over pieces of the length."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def in_pieces(
    net: Callable[[jax.Array], jax.Array], hidden: jax.Array, size: int
) -> jax.Array:
  """`net(hidden)`, a few positions at a time (Reformer, 2001.04451, section 3).

  A feed-forward net is four times as wide as what goes in and comes out: in
  pieces only those widths of a piece exist. The gradient computes a piece once
  more.

  Args:
    net: [batch, n, embed_dim] -> [batch, n, width], each position alone.
    hidden: [batch, length, embed_dim], any length.
    size: positions at once; 0 is all of them.

  Returns:
    [batch, length, width].

  Raises:
    ValueError: if `size` is negative.
  """
  if size < 0:
    raise ValueError(f"{size} positions at once: give 0 for all, or more")
  batch, length, width = hidden.shape
  if size == 0 or size >= length:
    return net(hidden)
  net = jax.checkpoint(net)
  count = length // size
  whole = hidden[:, : count * size].reshape(batch, count, size, width)
  out = jax.lax.map(net, whole.swapaxes(0, 1)).swapaxes(0, 1)
  out = out.reshape(batch, count * size, -1)
  if count * size == length:
    return out
  return jnp.concatenate([out, net(hidden[:, count * size :])], 1)
