"""What an encoder of actions reads and gives."""

from typing import NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp


class ActionVectors(NamedTuple):
  """The last actions of users as vectors, newest first.

  Attributes:
    types: [batch, length, type_dim], what was done.
    items: [batch, length, item_dim], with what.
    candidate: [batch, item_dim], what is to be scored.
    ages: [batch, length] float32 seconds before the request.
    there: [batch, length] bool; padding and hidden actions are False.
  """

  types: jax.Array
  items: jax.Array
  candidate: jax.Array
  ages: jax.Array
  there: jax.Array

  @property
  def tokens(self) -> jax.Array:
    """[batch, length, type_dim + item_dim], 0 where no action is."""
    joined = jnp.concatenate([self.types, self.items], -1)
    return jnp.where(self.there[..., None], joined, 0.0)


class HistoryEncoder(nnx.Module):
  """Turns actions into one vector per row.

  Attributes:
    width: of the vector.
    reads_candidate: whether the vector depends on the candidate; otherwise one
      request is encoded once for all of its candidates.
  """

  width: int
  reads_candidate: bool = True

  def __call__(
      self,
      actions: ActionVectors,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    """[batch, width]; finite for rows without any action."""
    raise NotImplementedError


def masked_mean(x: jax.Array, there: jax.Array) -> jax.Array:
  """[batch, length, dim], [batch, length] -> [batch, dim]; 0 for no action."""
  weights = there.astype(jnp.float32)
  total = jnp.einsum("bl,bld->bd", weights, x)
  return total / jnp.maximum(weights.sum(1, keepdims=True), 1.0)


def masked_max(x: jax.Array, there: jax.Array) -> jax.Array:
  """[batch, length, dim], [batch, length] -> [batch, dim]; 0 for no action."""
  lowest = jnp.finfo(jnp.float32).min
  found = jnp.where(there[..., None], x, lowest).max(1)
  return jnp.where(there.any(1, keepdims=True), found, 0.0)
