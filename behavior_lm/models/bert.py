"""BERT over packed event sequences (arXiv 1810.04805), with time.

Deviations from the paper: rows are packed and attention stays within a
segment; a time encoding joins the token embedding; no segment types, no
next-sentence objective.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.backends import AttentionSpec
from behavior_lm.layers.embeddings import EventEmbeddings
from behavior_lm.layers.heads import TokenHead
from behavior_lm.layers.pooling import first_token
from behavior_lm.layers.pooling import take_positions
from behavior_lm.layers.transformer import TransformerLayer

NORM_EPSILON = 1e-12


@dataclasses.dataclass(frozen=True)
class BertConfig:
  """Sizes of a BERT; `vocab_size` comes from the tokenizer."""

  vocab_size: int
  num_layers: int
  embed_dim: int
  num_heads: int
  mlp_dim: int
  max_length: int
  max_segments: int = 16
  time_encoding: str = "gate"
  features: tuple[str, ...] = ()
  position_encoding: str = "learned"
  norm_position: str = "post"
  dropout_rate: float = 0.1
  causal: bool = False
  dtype: str = "float32"


class Bert(nnx.Module):
  """Embeddings, post-norm layers, and a masked-token head."""

  def __init__(self, config: BertConfig, *, rngs: nnx.Rngs):
    self.config = config
    dtype = jnp.dtype(config.dtype)
    shared: dict[str, Any] = dict(
        norm_epsilon=NORM_EPSILON, dtype=dtype, rngs=rngs
    )
    self.embed = EventEmbeddings(
        config.vocab_size,
        config.embed_dim,
        config.max_length,
        config.time_encoding,
        config.position_encoding,
        config.dropout_rate,
        config.features,
        **shared,
    )
    self.layers = nnx.List([
        TransformerLayer(
            config.embed_dim,
            config.num_heads,
            config.mlp_dim,
            AttentionSpec(kind="dense", causal=config.causal),
            config.dropout_rate,
            norm_position=config.norm_position,
            rotary=config.position_encoding == "rotary",
            **shared,
        )
        for _ in range(config.num_layers)
    ])
    self.final_norm = (
        nnx.LayerNorm(
            config.embed_dim, epsilon=NORM_EPSILON, dtype=dtype, rngs=rngs
        )
        if config.norm_position == "pre"
        else None
    )
    self.head = TokenHead(config.vocab_size, config.embed_dim, **shared)

  def __call__(
      self,
      batch: Mapping[str, jax.Array],
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
      layer: int | None = None,
      predict_at: jax.Array | None = None,
  ) -> dict[str, Any]:
    """Hidden states of a packed batch.

    Args:
      batch: `tokens`, `positions`, `segment_ids`, `time_gaps`, each
        [batch, length] int32, and the features of the config.
      deterministic: no dropout.
      rngs: a `dropout` stream; needed when not deterministic.
      layer: hidden states after so many layers, 0 = embeddings; all of them
        when None.
      predict_at: [batch, n] row offsets where tokens are predicted. Only those
        meet the vocabulary: at 15 % masking a sixth of the head's cost.

    Returns:
      `hidden` [batch, length, embed_dim] and `pooled`
      [batch, max_segments, embed_dim], each segment's CLS; and with
      `predict_at` `head`, the factors of logits [batch, n, vocab_size]
      (`layers.heads.logits` joins them).
    """
    segment_ids, positions = batch["segment_ids"], batch["positions"]
    hidden = self.embed(
        batch["tokens"],
        positions,
        batch["time_gaps"],
        {name: batch[name] for name in self.config.features},
        deterministic=deterministic,
        rngs=rngs,
    )
    depth = self.config.num_layers if layer is None else layer
    for block in self.layers[:depth]:
      hidden = block(
          hidden,
          segment_ids=segment_ids,
          positions=positions,
          deterministic=deterministic,
          rngs=rngs,
      )
    if self.final_norm is not None:
      hidden = self.final_norm(hidden)
    outputs: dict[str, Any] = {
        "hidden": hidden,
        "pooled": first_token(hidden, segment_ids, self.config.max_segments),
    }
    if predict_at is not None:
      at = take_positions(hidden, predict_at)
      outputs["head"] = self.head(at, self.embed.token)
    return outputs
