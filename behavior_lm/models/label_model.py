"""An encoder with a head that predicts labels of segments."""

from collections.abc import Mapping
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.activations import find_activation
from behavior_lm.layers.adapters.lora import set_dropout_keys
from behavior_lm.layers.dropout import Dropout
from behavior_lm.layers.linear import Linear
from behavior_lm.layers.pooling import POOLINGS


class LabelHead(nnx.Module):
  """A norm, a hidden layer if wished, and the outputs of all labels.

  Args:
    embed_dim: of the pooled vectors.
    num_outputs: of all labels.
    hidden_dim: of the hidden layer with GELU; 0 is none.
    dropout_rate: of the pooled vectors, and of the hidden layer.
    rngs: for the parameters.
  """

  def __init__(
      self,
      embed_dim: int,
      num_outputs: int,
      *,
      hidden_dim: int = 0,
      dropout_rate: float = 0.0,
      rngs: nnx.Rngs,
  ):
    # Pooled vectors of encoders differ in scale: one learning rate for all.
    self.norm = nnx.LayerNorm(embed_dim, epsilon=1e-6, rngs=rngs)
    self.dropout = Dropout(dropout_rate)
    self.activate = find_activation("gelu")
    linear = lambda a, b: Linear(a, b, dtype=jnp.dtype("float32"), rngs=rngs)
    self.dense = linear(embed_dim, hidden_dim) if hidden_dim else None
    self.out = linear(hidden_dim or embed_dim, num_outputs)

  def __call__(
      self,
      vectors: jax.Array,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    """[..., embed_dim] -> [..., num_outputs] float32."""
    drop = lambda x: self.dropout(x, deterministic=deterministic, rngs=rngs)
    x = drop(self.norm(vectors))
    if self.dense is not None:
      x = drop(self.activate(self.dense(x)))
    return self.out(x)


class LabelModel(nnx.Module):
  """What is fine-tuned: `encoder`, `pooling` and `head`.

  Args:
    encoder: see `models.encoders`.
    num_outputs: of all labels.
    pooling: key of `layers.pooling.POOLINGS`.
    pooling_options: of it.
    layer: whose states are pooled; None is the last one.
    frozen: the encoder is a fixed function: it has no dropout and takes no
      gradient, which halves the work of a step.
    hidden_dim, dropout_rate: of the head.
    rngs: for the parameters.
  """

  def __init__(
      self,
      encoder: Any,
      num_outputs: int,
      *,
      pooling: str = "mean",
      pooling_options: Mapping[str, Any] | None = None,
      layer: int | None = None,
      frozen: bool = False,
      hidden_dim: int = 0,
      dropout_rate: float = 0.0,
      rngs: nnx.Rngs,
  ):
    width = encoder.config.embed_dim
    self.encoder = encoder
    self.frozen = frozen
    self.layer = layer
    make: Any = POOLINGS[pooling]
    self.pooling = make(width, rngs=rngs, **(pooling_options or {}))
    self.head = LabelHead(
        width,
        num_outputs,
        hidden_dim=hidden_dim,
        dropout_rate=dropout_rate,
        rngs=rngs,
    )

  def __call__(
      self,
      batch: Mapping[str, jax.Array],
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """The outputs of each segment.

    Args:
      batch: the fields of the encoder, [batch, length] each.
      deterministic: no dropout.
      rngs: stream `dropout`, for training.

    Returns:
      [batch, max_segments, num_outputs] float32.
    """
    vectors = self.pool(batch, deterministic=deterministic, rngs=rngs)
    return self.head(vectors, deterministic=deterministic, rngs=rngs)

  def pool(
      self,
      batch: Mapping[str, jax.Array],
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """[batch, max_segments, embed_dim] float32, 0 where no segment is."""
    fixed = deterministic or self.frozen
    if not fixed and rngs is not None:
      set_dropout_keys(self.encoder, rngs.dropout())
    hidden = self.encoder.encode(
        batch,
        layer=self.layer,
        deterministic=fixed,
        rngs=None if fixed else rngs,
    )
    set_dropout_keys(self.encoder, None)
    if self.frozen:
      hidden = jax.lax.stop_gradient(hidden)
    return self.pooling(
        hidden,
        batch["segment_ids"],
        batch["positions"],
        self.encoder.config.max_segments,
    )
