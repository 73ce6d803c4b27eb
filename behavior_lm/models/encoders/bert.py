"""BERT over packed event sequences (arXiv 1810.04805), with time.

Deviations from the paper: rows are packed and attention stays within a
segment; a time encoding joins the token embedding; no segment types, no
next-sentence objective.
"""

from flax import nnx

from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.transformer import TransformerLayer
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.models.encoders.encoder import Encoder

BertConfig = EncoderConfig


class Bert(Encoder):
  """Layers with dense attention."""

  def __init__(self, config: BertConfig, *, rngs: nnx.Rngs):
    spec = AttentionSpec(
        "dense", causal=config.causal, backend=config.attention_backend
    )
    super().__init__(
        config,
        lambda number, shared: TransformerLayer.of(config, spec, **shared),
        rngs=rngs,
    )
