"""What an encoder of actions reads and gives."""

from collections.abc import Iterable
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


def causal_copy(layer: TransformerLayer) -> TransformerLayer:
  """The layer with its parameters, whose tokens see none behind them."""
  copy = nnx.merge(*nnx.split(layer))
  copy.attention.spec = AttentionSpec("dense", causal=True)
  return copy


def nearest_actions(
    candidate: jax.Array, items: jax.Array, there: jax.Array, number: int
) -> jax.Array:
  """Places of the actions whose items are nearest to the candidate.

  By the cosine, as TransAct V2 selects from a lifelong sequence (arXiv
  2506.02267); nothing is learned through the choice. Equal ones go by place.

  Args:
    candidate: [rows, item_dim].
    items: [rows, length, item_dim], or [1, length, item_dim] of the one user
      of all rows.
    there: [rows or 1, length] bool, which may be chosen.
    number: of places, at most `length`.

  Returns:
    [rows, number] int32 ascending; places that are not there fill up.
  """
  unit = lambda x: x * jax.lax.rsqrt(
      jnp.maximum((x**2).sum(-1, keepdims=True), 1e-12)
  )
  candidate, items = map(unit, jax.lax.stop_gradient((candidate, items)))
  if len(items) == 1:
    cosine = jnp.einsum("rd,ld->rl", candidate, items[0])
  else:
    cosine = jnp.einsum("rd,rld->rl", candidate, items)
  cosine = jnp.where(there, cosine, -jnp.inf)
  return jnp.sort(jax.lax.top_k(cosine, number)[1], -1)


def run_layers(
    layers: Iterable[TransformerLayer],
    tokens: jax.Array,
    there: jax.Array,
    *,
    deterministic: bool,
    rngs: nnx.Rngs | None,
) -> jax.Array:
  """[batch, length, width] through layers; tokens see those that are there."""
  segments = there.astype(jnp.int32)
  places = jnp.broadcast_to(jnp.arange(there.shape[1]), there.shape)
  for layer in layers:
    tokens = layer(
        tokens,
        segment_ids=segments,
        positions=places,
        deterministic=deterministic,
        rngs=rngs,
    )
  return tokens
