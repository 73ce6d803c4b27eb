"""How much each key weighs in what a query gets, measured of any kernel.

What attention gives is linear in the values: with values that are 1 for one
key and 0 for all others it is the weight of that key. So the weights are those
of the kernel itself, whatever it leaves out, and need no second formula.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def kernel_weights(
    mix: Callable[[jax.Array], jax.Array], shape: tuple[int, ...]
) -> jax.Array:
  """The weights of all pairs, in length / head_dim calls of a kernel.

  Args:
    mix: values [batch, length, num_heads, head_dim] float32 -> what the kernel
      makes of them, [batch, queries, num_heads, head_dim].
    shape: of the values.

  Returns:
    [batch, num_heads, queries, length] float32. Each row sums to 1, or to 0 if
    the query sees nothing.
  """
  _, length, _, width = shape

  def some(first: jax.Array) -> jax.Array:
    keys = jnp.arange(length)[:, None] == first + jnp.arange(width)
    value = jnp.broadcast_to(keys.astype(jnp.float32)[None, :, None], shape)
    # A broadcast made inside a program is summed wrongly by some jaxlibs.
    return mix(jax.lax.optimization_barrier(value)).astype(jnp.float32)

  parts = jax.lax.map(some, jnp.arange(0, length, width))
  whole = jnp.moveaxis(parts, 0, -2)
  whole = whole.reshape(*whole.shape[:3], -1)[..., :length]
  return whole.swapaxes(1, 2)
