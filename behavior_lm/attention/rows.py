"""Some tokens of each row, by their offsets."""

import jax
import jax.numpy as jnp


def take_rows(x: jax.Array, offsets: jax.Array, fill: int = 0) -> jax.Array:
  """x [batch, length, ...] at offsets [batch, n]; `fill` outside the row."""
  rows = jnp.arange(len(x))[:, None]
  return jnp.asarray(x).at[rows, offsets].get(mode="fill", fill_value=fill)


def take_if(x: jax.Array, offsets: jax.Array | None) -> jax.Array:
  """`take_rows`, or all of them where None are named."""
  return x if offsets is None else take_rows(x, offsets)
