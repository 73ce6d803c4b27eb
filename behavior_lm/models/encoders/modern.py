"""A BERT of today over packed event sequences, after ModernBERT (2412.13663).

Norms before each part, rotary positions, a gated feed-forward net (GeGLU,
arXiv 2002.05202), no biases; local attention, and every third layer sees all.
Deviations: rows are packed by our pipeline, a time encoding joins the token
embedding (angles are those of positions, and of time where it is asked for),
one rotary base for local and global layers.
"""

import dataclasses
import functools
from typing import Any

from flax import nnx

from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.stack import for_layer
from behavior_lm.layers.transformer import TransformerLayer
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.models.encoders.encoder import Encoder


@dataclasses.dataclass(frozen=True)
class ModernConfig(EncoderConfig):
  """As `EncoderConfig`, with this architecture's defaults.

  Attributes:
    window_size: tokens on EACH side in local layers, for all layers or one a
      layer (that of a global layer is not read).
    global_every: layers 0, n, 2 n, ... see their whole segment.
  """

  position_encoding: str = "rotary"
  norm_position: str = "pre"
  use_bias: bool = False
  window_size: int | tuple[int, ...] = 64
  global_every: int = 3


class Modern(Encoder):
  """Local layers with every third one global."""

  def __init__(self, config: ModernConfig, *, rngs: nnx.Rngs):
    if config.global_every < 1:
      raise ValueError(
          f"global_every is {config.global_every}; 1 makes every layer global"
      )

    def make_layer(number: int, shared: dict[str, Any]) -> TransformerLayer:
      shared_spec = functools.partial(
          AttentionSpec,
          causal=config.causal,
          backend=config.attention_backend,
      )
      spec = shared_spec("dense")
      if number % config.global_every:
        spec = shared_spec(
            "sliding_window",
            window_size=for_layer(
                config.window_size, number, "window_size", config.num_layers
            ),
        )
      return TransformerLayer.of(config, spec, gated=True, **shared)

    super().__init__(config, make_layer, rngs=rngs)
