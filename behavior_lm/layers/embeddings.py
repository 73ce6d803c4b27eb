"""Tokens, time and positions to the first hidden states."""

from collections.abc import Mapping

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.feature_encoding import FeatureEncoding
from behavior_lm.layers.position_encoding import POSITION_ENCODINGS
from behavior_lm.layers.position_encoding import sinusoid_table
from behavior_lm.layers.time_encoding import TIME_ENCODINGS

INIT = nnx.initializers.normal(0.02)
# BERT's 0.02 suits its width of 768. By the fan-in it suits every width: at
# 128, kernels of 0.02 leave attention flat for hundreds of steps.
KERNEL_INIT = nnx.initializers.lecun_normal()


class EventEmbeddings(nnx.Module):
  """LayerNorm(token (+ time) + position), as in BERT (arXiv 1810.04805).

  BERT's segment-type embedding is left out: a row's segments are independent
  sequences here, not two halves of one.
  """

  def __init__(
      self,
      vocab_size: int,
      embed_dim: int,
      max_length: int,
      time_encoding: str,
      position_encoding: str,
      dropout_rate: float,
      features: tuple[str, ...] = (),
      *,
      norm_epsilon: float,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    if time_encoding not in TIME_ENCODINGS:
      raise ValueError(
          f"time encoding {time_encoding!r}; known are {sorted(TIME_ENCODINGS)}"
      )
    if position_encoding not in POSITION_ENCODINGS:
      raise ValueError(
          f"position encoding {position_encoding!r}; known are"
          f" {POSITION_ENCODINGS}"
      )
    make = lambda size, init: nnx.Embed(
        size, embed_dim, embedding_init=init, dtype=dtype, rngs=rngs
    )
    self.token = make(vocab_size, INIT)
    # Rotary positions live in the attention; there is no table then.
    self.position = {
        "learned": lambda: make(max_length, INIT),
        "sinusoid": lambda: make(max_length, sinusoid_table),
        "rotary": lambda: None,
    }[position_encoding]()
    self.time = TIME_ENCODINGS[time_encoding](embed_dim, rngs=rngs, dtype=dtype)
    self.features = FeatureEncoding(
        features, embed_dim, rngs=rngs, dtype=dtype
    )
    self.norm = nnx.LayerNorm(
        embed_dim, epsilon=norm_epsilon, dtype=dtype, rngs=rngs
    )
    self.dropout = nnx.Dropout(dropout_rate)

  def __call__(
      self,
      tokens: jax.Array,
      positions: jax.Array,
      time_gaps: jax.Array,
      features: Mapping[str, jax.Array],
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    """[batch, length] each -> [batch, length, embed_dim]."""
    hidden = self.time(self.token(tokens), time_gaps)
    hidden = self.features(hidden, features)
    if self.position is not None:
      hidden = hidden + self.position(positions)
    hidden = self.norm(hidden)
    return self.dropout(hidden, deterministic=deterministic, rngs=rngs)
