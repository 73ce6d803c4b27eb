"""The LiGR encoder of recommenders (arXiv 2502.03417, 2508.06450).

Norms before each part, a gated feed-forward net (SwiGLU), and a learned gate
on what each part adds to the residual stream. Deviations as in `bert`.
"""

import dataclasses

from flax import nnx

from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.transformer import TransformerLayer
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.models.encoders.encoder import Encoder


@dataclasses.dataclass(frozen=True)
class LigrConfig(EncoderConfig):
  """`EncoderConfig` with the defaults of LiGR."""

  norm_position: str = "pre"
  activation: str = "silu"


class Ligr(Encoder):
  """Layers with dense attention and gated residuals."""

  def __init__(self, config: LigrConfig, *, rngs: nnx.Rngs):
    spec = AttentionSpec(
        "dense", causal=config.causal, backend=config.attention_backend
    )
    super().__init__(
        config,
        lambda number, shared: TransformerLayer.of(
            config, spec, gated=True, residual_gates=True, **shared
        ),
        rngs=rngs,
    )
