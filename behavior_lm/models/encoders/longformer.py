"""Longformer over packed event sequences (arXiv 2004.05150), with time.

Each token attends to a window on both sides and to its segment's CLS, which
attends to all of its segment with projections of its own: the cost of a token
grows with the window and `max_segments`, not with the length. Deviations from
the paper: rows are packed, global tokens see their own segment, and their
projections are drawn like all others (the paper copies them from weights that
it starts from). Masked tokens teach the last layer's global projections
nothing, as a CLS is never masked: take the mean of the states as a sequence's
vector, or the CLS of an earlier layer, unless the model was trained on the CLS
itself.
"""

import dataclasses
from typing import Any

from flax import nnx

from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.stack import for_layer
from behavior_lm.layers.transformer import TransformerLayer
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.models.encoders.encoder import Encoder


@dataclasses.dataclass(frozen=True)
class LongformerConfig(EncoderConfig):
  """As `EncoderConfig`, and the attention's reach.

  Attributes:
    window_size: tokens on EACH side (the paper's window is twice that), for
      all layers or one a layer.
    dilation: tokens from one key of the window to the next, likewise.
  """

  window_size: int | tuple[int, ...] = 128
  dilation: int | tuple[int, ...] = 1


class Longformer(Encoder):
  """Layers with a sliding window and one global token a segment.

  Layers that attend within sessions have no global tokens.
  """

  def __init__(self, config: LongformerConfig, *, rngs: nnx.Rngs):
    def make_layer(number: int, shared: dict[str, Any]) -> TransformerLayer:
      own = lambda name: for_layer(
          getattr(config, name), number, name, config.num_layers
      )
      spec = AttentionSpec(
          kind="sliding_window",
          causal=config.causal,
          backend=config.attention_backend,
          window_size=own("window_size"),
          dilation=own("dilation"),
          max_globals=0 if number < config.session_layers else (
              config.max_segments
          ),
      )
      return TransformerLayer.of(config, spec, **shared)

    super().__init__(config, make_layer, rngs=rngs)
