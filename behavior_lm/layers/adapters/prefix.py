"""Trained keys and values before those of the tokens, in every layer.

P-tuning v2 (arXiv 2110.07602): the prefix is prepended after the projections,
without reparametrisation, and every token of every segment attends to it.
Positions of tokens stay what they were: the prefix has none; or they begin
behind it, as in transformers' BERT, to which a prefix is a past.
"""

from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.masks import window_mask
from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.relative_time import pad_heads

# Parameters of prefixes, whose paths no pretrained run has.
PATTERN = r"prefix/(keys|values)$"
# Born small: a prefix of this size hardly changes what the encoder learned.
_STD = 0.02


class Prefix(nnx.Module):
  """Keys and values [length, num_heads, head_dim] of one layer."""

  def __init__(
      self, length: int, num_heads: int, head_dim: int, *, rngs: nnx.Rngs
  ):
    if length < 1:
      raise ValueError(f"prefix of {length} vectors; give at least 1")
    shape = (length, num_heads, head_dim)
    born = lambda: nnx.Param(_STD * jax.random.normal(rngs.params(), shape))
    self.keys = born()
    self.values = born()

  def attend(
      self,
      query: jax.Array,
      key: jax.Array,
      value: jax.Array,
      *,
      segment_ids: jax.Array,
      positions: jax.Array,
      spec: AttentionSpec,
  ) -> jax.Array:
    """Attention to the prefix and to the tokens, in one softmax.

    It is computed densely, whatever the kernel of the layer is.

    Args:
      query, key, value: [batch, length, num_heads, head_dim].
      segment_ids, positions: [batch, length] int32.
      spec: what the layer attends to, see `check_prefix`.

    Returns:
      [batch, length, num_heads, head_dim]; rows of padding are zero.
    """
    if spec.kind == "dense":
      mask = segment_mask(
          segment_ids, positions=positions, causal=spec.causal
      )
    else:
      mask = window_mask(
          segment_ids,
          spec.window_size,
          dilation=spec.dilation,
          causal=spec.causal,
      )
    shape = (len(query), *self.keys.shape)

    def before(param: nnx.Param[jax.Array], x: jax.Array) -> jax.Array:
      own = jnp.broadcast_to(param[...].astype(x.dtype), shape)
      # A bias of time widens the heads: it says nothing of a prefix.
      return jnp.concatenate([pad_heads(own, x.shape[-1]), x], 1)

    seen = jnp.broadcast_to(
        (segment_ids != 0)[:, None, :, None],
        (*mask.shape[:3], self.keys.shape[0]),
    )
    return dense_attention(
        query,
        before(self.keys, key),
        before(self.values, value),
        mask=jnp.concatenate([seen, mask], -1),
    )


def add_prefix(
    encoder: Any, length: int, *, shift: bool = False, rngs: nnx.Rngs
) -> None:
  """Gives every layer of an encoder a prefix.

  Args:
    encoder: is changed.
    length: vectors in a prefix.
    shift: the first token has the position `length` instead of 0; a table of
      positions must have so many more.
    rngs: for the parameters.

  Raises:
    ValueError: if a layer attends in a way that a prefix does not fit.
  """
  if shift:
    encoder.first_position = length
  for layer in encoder.layers:
    attention = layer.attention
    spec = getattr(attention, "spec", None)
    if spec is None or spec.kind not in ("dense", "sliding_window"):
      raise ValueError(
          f"a prefix does not fit the layers of {type(encoder).__name__}, which"
          " choose by hashing what to attend to; take another adaptation"
      )
    if spec.max_globals:
      raise ValueError(
          f"a prefix does not fit the layers of {type(encoder).__name__}, whose"
          " global tokens have projections of their own; take another"
          " adaptation"
      )
    attention.prefix = Prefix(
        length, attention.num_heads, attention.head_dim, rngs=rngs
    )
