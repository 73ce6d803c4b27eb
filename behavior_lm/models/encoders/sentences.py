"""The upper level of two: one vector per sentence, and layers among them.

A sentence is a session of a segment. Lower layers of an encoder have read each
one apart (`session_layers`); here the mean of its tokens' states becomes its
vector, the vectors of a segment attend to each other, and each token gets one
added (hierarchical attention, arXiv 1606.02393, with transformers on both
levels). Nothing is cut off from the gradient, which reaches the tokens of all
sentences that a token has heard of.

Rows are packed: the sentences of all segments of a row stand in one compact
row of at most `max_sentences`. Those behind it have no vector, give none, and
their tokens get none; `count_left_out` counts them.
"""

from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.common.rows import reduce_segments
from behavior_lm.common.rows import take_rows
from behavior_lm.layers.embeddings import INIT
from behavior_lm.layers.position_encoding import sinusoid_table
from behavior_lm.layers.stack import run_stack
from behavior_lm.layers.transformer import TransformerLayer


class SentenceLayers(nnx.Module):
  """Layers of dense attention among the sentences of each segment.

  Where the model is causal, a token gets the vector of the sentence before its
  own, which has heard of those before it, and of none later; the tokens of a
  segment's first sentence get none. Otherwise it gets that of its own.

  Args:
    config: of the encoder, an `EncoderConfig`; layers have its sizes, without
      experts or a clock, and its kind of positions: a sentence's is its number
      in the segment.
    shared: what its layers share.
  """

  def __init__(self, config: Any, shared: dict[str, Any]):
    self.causal = config.causal
    self.remat, self.scan = config.remat, config.scan_layers
    self.max_sentences = config.num_sentences
    spec = AttentionSpec(
        "dense", causal=config.causal, backend=config.attention_backend
    )
    of_tokens = ("experts", "relative_time")
    plain = {name: x for name, x in shared.items() if name not in of_tokens}
    self.layers = nnx.List([
        TransformerLayer.of(config, spec, **plain)
        for _ in range(config.sentence_layers)
    ])
    self.position: nnx.Embed | None = nnx.data(None)
    if config.position_encoding != "rotary":
      is_learned = config.position_encoding == "learned"
      self.position = nnx.Embed(
          self.max_sentences,
          config.embed_dim,
          embedding_init=INIT if is_learned else sinusoid_table,
          dtype=jnp.float32,
          rngs=shared["rngs"],
      )

  def __call__(
      self,
      hidden: jax.Array,
      *,
      segment_ids: jax.Array,
      sentence_ids: jax.Array,
      dropout_key: jax.Array | None = None,
  ) -> jax.Array:
    """Adds to each token what the sentences of its segment say.

    Args:
      hidden: [batch, length, embed_dim].
      segment_ids: [batch, length] int32, 0 marks padding.
      sentence_ids: [batch, length] int32, counted from 1 along the row, 0 at
        padding; see `common.rows.session_segments`.
      dropout_key: random key; None is no dropout.

    Returns:
      The shape and type of hidden.
    """
    vectors = self.mean_of_tokens(hidden, sentence_ids)
    of_sentence = self._per_sentence(
        jax.ops.segment_max, segment_ids, sentence_ids
    )
    # Empty places have the lowest integer.
    of_sentence = jnp.maximum(of_sentence, 0)
    place = jnp.arange(self.max_sentences)
    begins = jnp.diff(of_sentence, axis=1, prepend=0) != 0
    first = jax.lax.cummax(jnp.where(begins, place, 0), axis=1)
    positions = place - first
    if self.position is not None:
      vectors = vectors + self.position(positions)
    vectors = run_stack(
        list(self.layers),
        vectors.astype(hidden.dtype),
        depth=len(self.layers),
        remat=self.remat,
        scan=self.scan,
        dropout_key=dropout_key,
        segment_ids=of_sentence,
        positions=positions,
    )
    heard = sentence_ids - 1
    nobody = (sentence_ids == 0) | (heard >= self.max_sentences)
    if self.causal:
      nobody |= take_rows(positions, jnp.maximum(heard, 0)) == 0
      heard -= 1
    # Beyond the row: 0 is filled in.
    at = jnp.where(nobody, self.max_sentences, heard)
    return hidden + take_rows(vectors, at).astype(hidden.dtype)

  def mean_of_tokens(
      self, hidden: jax.Array, sentence_ids: jax.Array
  ) -> jax.Array:
    """[batch, max_sentences, embed_dim] float32; empty places are 0.

    CLS is a token of its segment's first sentence.
    """
    hidden = hidden.astype(jnp.float32)
    total = self._per_sentence(jax.ops.segment_sum, hidden, sentence_ids)
    size = self._per_sentence(
        jax.ops.segment_sum, jnp.ones(hidden.shape[:2]), sentence_ids
    )
    return total / jnp.maximum(size, 1.0)[..., None]

  def _per_sentence(
      self, reduce: Any, x: jax.Array, sentence_ids: jax.Array
  ) -> jax.Array:
    """[batch, length, ...] -> [batch, max_sentences, ...]."""
    kept = jnp.where(sentence_ids > self.max_sentences, 0, sentence_ids)
    return reduce_segments(reduce, x, kept, self.max_sentences)[:, 1:]


def count_left_out(
    sentence_ids: jax.Array, max_sentences: int
) -> tuple[jax.Array, jax.Array]:
  """How many sentences of a batch have no vector, and how many there are.

  Args:
    sentence_ids: [batch, length] int32, see `SentenceLayers`.
    max_sentences: of a row.
  """
  of_row = sentence_ids.max(1)
  return jnp.maximum(of_row - max_sentences, 0).sum(), of_row.sum()
