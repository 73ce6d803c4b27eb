"""The two halves of a Reformer layer, without their residual sums."""

from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.activations import find_activation
from behavior_lm.layers.chunked import in_pieces
from behavior_lm.layers.dropout import Dropout
from behavior_lm.layers.linear import Linear
from behavior_lm.layers.lsh_attention import LshSelfAttention
from behavior_lm.layers.reversible import Halves
from behavior_lm.layers.reversible import Reversible
from behavior_lm.layers.self_attention import SelfAttention


class AttentionHalf(nnx.Module):
  """dropout(attention(norm(x))); no biases but the norm's, as the original."""

  def __init__(
      self,
      embed_dim: int,
      num_heads: int,
      spec: AttentionSpec,
      dropout_rate: float,
      *,
      rotary: bool,
      use_bias: bool,
      norm_epsilon: float,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    self.norm = nnx.LayerNorm(
        embed_dim,
        epsilon=norm_epsilon,
        use_bias=use_bias,
        dtype=dtype,
        rngs=rngs,
    )
    make = LshSelfAttention if spec.kind == "lsh" else SelfAttention
    self.attention = make(
        embed_dim,
        num_heads,
        spec,
        rotary=rotary,
        use_bias=False,
        dtype=dtype,
        rngs=rngs,
    )
    self.dropout = Dropout(dropout_rate)

  def draw_rotations(self, key: jax.Array, length: int) -> jax.Array | None:
    """What rows of a length are hashed by; None in a layer that hashes not."""
    if not isinstance(self.attention, LshSelfAttention):
      return None
    return self.attention.draw_rotations(key, length)

  def __call__(
      self,
      hidden: jax.Array,
      *,
      segment_ids: jax.Array,
      positions: jax.Array,
      rotations: jax.Array | None,
      dropout_key: jax.Array | None,
      order: Any = None,
      offsets: jax.Array | None = None,
  ) -> tuple[jax.Array, Any]:
    """What attention adds to a stream, and the order it found.

    Args:
      hidden: [batch, length, embed_dim].
      segment_ids, positions: [batch, length] int32.
      rotations: as `draw_rotations` gives them.
      dropout_key: None for no dropout.
      order: of an earlier call with the same hidden states.
      offsets: [batch, n] row offsets, if only those are wanted.

    Returns:
      [batch, length or n, embed_dim], and the order: () in a layer without.
    """
    hidden = self.norm(hidden)
    row: dict[str, Any] = dict(
        segment_ids=segment_ids, positions=positions, offsets=offsets
    )
    if isinstance(self.attention, LshSelfAttention):
      out, order = self.attention(
          hidden, rotations=rotations, order=order, **row
      )
      return _drop(self.dropout, out, dropout_key), order
    out = self.attention(hidden, **row)
    return _drop(self.dropout, out, dropout_key), ()


  def weights(
      self,
      hidden: jax.Array,
      *,
      rotations: jax.Array | None,
      **row: jax.Array,
  ) -> jax.Array:
    """How much each token weighs, see `SelfAttention.weights`.

    Args:
      hidden: [batch, length, embed_dim].
      rotations: as `draw_rotations` gives them.
      **row: segment_ids and positions, [batch, length] int32.
    """
    hidden = self.norm(hidden)
    if isinstance(self.attention, LshSelfAttention):
      return self.attention.weights(hidden, rotations=rotations, **row)
    return self.attention.weights(hidden, **row)


class FeedForwardHalf(nnx.Module):
  """dropout(W2 activation(W1 norm(x))), a piece of the length at once."""

  def __init__(
      self,
      embed_dim: int,
      mlp_dim: int,
      dropout_rate: float,
      *,
      activation: str,
      positions_at_once: int,
      use_bias: bool,
      norm_epsilon: float,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    shared: dict[str, Any] = dict(use_bias=use_bias, dtype=dtype, rngs=rngs)
    self.norm = nnx.LayerNorm(embed_dim, epsilon=norm_epsilon, **shared)
    self.mlp_in = Linear(embed_dim, mlp_dim, **shared)
    self.mlp_out = Linear(mlp_dim, embed_dim, **shared)
    self.dropout = Dropout(dropout_rate)
    self.activate = find_activation(activation)
    self.positions_at_once = positions_at_once

  def __call__(
      self, hidden: jax.Array, dropout_key: jax.Array | None
  ) -> jax.Array:
    """What the net adds to a stream, [batch, length, embed_dim]."""
    net = lambda x: self.mlp_out(self.activate(self.mlp_in(self.norm(x))))
    out = in_pieces(net, hidden, self.positions_at_once)
    return _drop(self.dropout, out, dropout_key)


class ReformerLayer(nnx.Module):
  """The parameters of both halves; `as_functions` runs them."""

  def __init__(self, attention: AttentionHalf, feed_forward: FeedForwardHalf):
    self.attention = attention
    self.feed_forward = feed_forward


def as_functions(
    layers: list[ReformerLayer],
) -> tuple[list[Reversible], list[Halves]]:
  """Layers as pure functions and parameters, for `layers.reversible`.

  The key of an attention half is (dropout_key, rotations), that of the other
  half a dropout_key. Layers of one program share the object.
  """
  programs: dict[Any, Reversible] = {}
  functions, params = [], []
  for layer in layers:
    attention, own = nnx.split(layer.attention, nnx.Param)
    feed_forward, others = nnx.split(layer.feed_forward, nnx.Param)
    graphs = attention, feed_forward
    functions.append(programs.setdefault(graphs, _functions(*graphs)))
    params.append(Halves(own.to_pure_dict(), others.to_pure_dict()))
  return functions, params


def _functions(attention: Any, feed_forward: Any) -> Reversible:
  def attend(
      params: Any, hidden: jax.Array, key: Any, shared: Any, memo: Any
  ) -> tuple[jax.Array, Any]:
    dropout_key, rotations = key
    return nnx.merge(attention, params)(
        hidden,
        rotations=rotations,
        dropout_key=dropout_key,
        order=memo,
        **shared,
    )

  def feed(params: Any, hidden: jax.Array, key: Any) -> jax.Array:
    return nnx.merge(feed_forward, params)(hidden, key)

  return Reversible(attend, feed)


def _drop(
    dropout: Dropout, x: jax.Array, key: jax.Array | None
) -> jax.Array:
  return dropout(
      x,
      deterministic=key is None,
      rngs=None if key is None else nnx.Rngs(dropout=key),
  )
