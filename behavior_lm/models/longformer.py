"""Longformer over packed event sequences (arXiv 2004.05150), with time.

Each token attends to a window on both sides and to its segment's CLS, which
attends to all of its segment with projections of its own: cost grows with the
length, not with its square. Deviations from the paper: rows are packed, global
tokens see their own segment; the window is the same in all layers.
"""

import dataclasses

from flax import nnx

from behavior_lm.attention.backends import AttentionSpec
from behavior_lm.layers.transformer import TransformerLayer
from behavior_lm.models.encoder import Encoder
from behavior_lm.models.encoder import EncoderConfig


@dataclasses.dataclass(frozen=True)
class LongformerConfig(EncoderConfig):
  """As `EncoderConfig`, and the attention's reach.

  Attributes:
    window_size: tokens on EACH side (the paper's window is twice that).
    dilation: tokens from one key of the window to the next.
  """

  window_size: int = 128
  dilation: int = 1


class Longformer(Encoder):
  """Layers with a sliding window and one global token a segment."""

  def __init__(self, config: LongformerConfig, *, rngs: nnx.Rngs):
    spec = AttentionSpec(
        kind="sliding_window",
        causal=config.causal,
        window_size=config.window_size,
        dilation=config.dilation,
        max_globals=config.max_segments,
    )
    super().__init__(
        config,
        lambda number, shared: TransformerLayer.of(config, spec, **shared),
        rngs=rngs,
    )
