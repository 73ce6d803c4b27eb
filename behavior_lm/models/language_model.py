"""An encoder with a head that predicts tokens of its vocabulary."""

from collections.abc import Mapping
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.heads import GapHead
from behavior_lm.layers.heads import TokenHead
from behavior_lm.layers.linear import Linear
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.encoders.config import EncoderConfig


class LanguageModel(nnx.Module):
  """What is pretrained: `encoder`, and `head` over the table of its tokens.

  Args:
    name: key of `ENCODERS`.
    config: of the encoder.
    gap_components: of the mixture over the time to the next event; 0 makes no
      head for it.
    scores: names of further heads, which give one number per state; they are
      in the model's own `scores`.
    token_heads: names of further heads over the table of tokens; they are in
      the model's own `token_heads`.
    rngs: for the parameters.
  """

  def __init__(
      self,
      name: str,
      config: EncoderConfig,
      *,
      gap_components: int = 0,
      scores: tuple[str, ...] = (),
      token_heads: tuple[str, ...] = (),
      rngs: nnx.Rngs,
  ):
    self.encoder = ENCODERS[name][0](config, rngs=rngs)
    make_head = lambda: TokenHead(
        config.vocab_size,
        config.embed_dim,
        table_dim=config.embedding_dim,
        activation=config.activation,
        use_bias=config.use_bias,
        norm_epsilon=config.norm_epsilon,
        dtype=jnp.dtype(config.dtype),
        rngs=rngs,
    )
    self.head = make_head()
    self.gap_head = nnx.data(None)
    if gap_components:
      self.gap_head = GapHead(
          config.embed_dim,
          gap_components,
          dtype=jnp.dtype(config.dtype),
          rngs=rngs,
      )
    self.scores = nnx.Dict({
        score: Linear(
            config.embed_dim, 1, dtype=jnp.dtype(config.dtype), rngs=rngs
        )
        for score in scores
    })
    self.token_heads = nnx.Dict({name: make_head() for name in token_heads})

  def __call__(
      self,
      batch: Mapping[str, jax.Array],
      offsets: jax.Array | None = None,
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> dict[str, Any]:
    """The logits of tokens as factors, so that a loss need not make them whole.

    Args:
      batch: see `Encoder.encode`.
      offsets: [batch, n] row offsets where tokens are predicted; None is
        everywhere.
      deterministic: no dropout.
      rngs: stream `dropout`, for training.

    Returns:
      `hidden` [batch, n, table_dim], `table` [vocab_size, table_dim] and `bias`
      [vocab_size], see `layers.heads.TokenHead`; with a head for gaps
      `gap_mixture` [batch, n, 3, gap_components].
    """
    hidden = self.encoder.encode(
        batch, offsets, deterministic=deterministic, rngs=rngs
    )
    found = self.head(hidden, self.encoder.embed.token)
    if self.gap_head is not None:
      found["gap_mixture"] = self.gap_head(hidden)
    return found
