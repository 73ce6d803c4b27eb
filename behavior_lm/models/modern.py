"""A BERT of today over packed event sequences, after ModernBERT (2412.13663).

Norms before each part, rotary positions, a gated feed-forward net (GeGLU,
arXiv 2002.05202), no biases; local attention, and every third layer sees all.
Deviations: rows are packed by our pipeline, a time encoding joins the token
embedding, one rotary base for local and global layers.
"""

import dataclasses

from flax import nnx

from behavior_lm.attention.backends import AttentionSpec
from behavior_lm.layers.transformer import TransformerLayer
from behavior_lm.models.encoder import Encoder
from behavior_lm.models.encoder import EncoderConfig


@dataclasses.dataclass(frozen=True)
class ModernConfig(EncoderConfig):
  """As `EncoderConfig`, with this architecture's defaults.

  Attributes:
    window_size: tokens on EACH side in local layers.
    global_every: layers 0, n, 2 n, ... see their whole segment.
  """

  position_encoding: str = "rotary"
  norm_position: str = "pre"
  use_bias: bool = False
  window_size: int = 64
  global_every: int = 3


class Modern(Encoder):
  """Local layers with every third one global."""

  def __init__(self, config: ModernConfig, *, rngs: nnx.Rngs):
    if config.global_every < 1:
      raise ValueError(
          f"global_every is {config.global_every}; 1 makes every layer global"
      )
    everywhere = AttentionSpec(kind="dense", causal=config.causal)
    near = AttentionSpec(
        kind="sliding_window",
        causal=config.causal,
        window_size=config.window_size,
    )
    super().__init__(
        config,
        lambda number, shared: TransformerLayer.of(
            config,
            near if number % config.global_every else everywhere,
            gated=True,
            **shared,
        ),
        rngs=rngs,
    )
