"""What an encoder of actions reads and gives."""

from typing import NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.transformer import TransformerLayer


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


def transformer_layers(
    width: int,
    *,
    num_layers: int,
    num_heads: int,
    mlp_dim: int,
    dropout_rate: float,
    rngs: nnx.Rngs,
) -> nnx.List:
  """Layers with norms behind each part and ReLU, as those of PyTorch."""
  return nnx.List([
      TransformerLayer(
          width,
          num_heads,
          mlp_dim,
          AttentionSpec("dense"),
          dropout_rate,
          activation="relu",
          norm_epsilon=1e-5,
          dtype=jnp.dtype("float32"),
          rngs=rngs,
      )
      for _ in range(num_layers)
  ])


def run_layers(
    layers: nnx.List,
    tokens: jax.Array,
    there: jax.Array,
    *,
    deterministic: bool,
    rngs: nnx.Rngs | None,
) -> jax.Array:
  """[batch, length, width] through layers; tokens see those that are there."""
  segments = there.astype(jnp.int32)
  for layer in layers:
    tokens = layer(
        tokens,
        segment_ids=segments,
        positions=jnp.zeros_like(segments),
        deterministic=deterministic,
        rngs=rngs,
    )
  return tokens
