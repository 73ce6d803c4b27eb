"""ALBERT over packed event sequences (arXiv 1909.11942), with time.

A narrow token table, projected to the width of the layers, and one layer's
weights for all of them: a vocabulary of 50,000 chains of events costs a sixth,
and depth costs nothing. Deviations as in `bert`, and no sentence-order
objective.
"""

import dataclasses

from flax import nnx

from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.transformer import TransformerLayer
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.models.encoders.encoder import Encoder


@dataclasses.dataclass(frozen=True)
class AlbertConfig(EncoderConfig):
  """As `EncoderConfig`, with a narrow table."""

  embedding_dim: int | None = 128


class Albert(Encoder):
  """One layer, applied num_layers times."""

  def __init__(self, config: AlbertConfig, *, rngs: nnx.Rngs):
    spec = AttentionSpec(
        "dense", causal=config.causal, backend=config.attention_backend
    )
    super().__init__(
        config,
        lambda number, shared: TransformerLayer.of(config, spec, **shared),
        num_modules=1,
        rngs=rngs,
    )
