"""Tokens, time and positions to the first hidden states."""

from collections.abc import Mapping

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.adapters.soft_prompt import SoftPrompt
from behavior_lm.layers.dropout import Dropout
from behavior_lm.layers.feature_encoding import FeatureEncoding
from behavior_lm.layers.linear import Linear
from behavior_lm.layers.ngram_embedding import NgramEmbedding
from behavior_lm.layers.position_encoding import POSITION_ENCODINGS
from behavior_lm.layers.position_encoding import sinusoid_table
from behavior_lm.layers.relative_time import RELATIVE_TIMES
from behavior_lm.layers.time_encoding import TIME_CONTROLS
from behavior_lm.layers.time_encoding import TIME_ENCODINGS

INIT = nnx.initializers.normal(0.02)


class EventEmbeddings(nnx.Module):
  """LayerNorm(token (+ time) + position), as in BERT (arXiv 1810.04805).

  A row's segments are independent sequences here, not two halves of one: of
  BERT's segment types all tokens have the first, and models made here have no
  such table.
  """

  def __init__(
      self,
      vocab_size: int,
      embed_dim: int,
      max_length: int,
      time_encoding: str,
      position_encoding: str,
      dropout_rate: float,
      features: tuple[tuple[str, int], ...] = (),
      *,
      time_control: str = "none",
      table_dim: int | None = None,
      num_token_types: int = 0,
      ngram_order: int = 0,
      ngram_buckets: int = 0,
      session_rows: int = 0,
      use_bias: bool = True,
      norm_epsilon: float,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    if time_encoding not in TIME_ENCODINGS:
      known = sorted([*TIME_ENCODINGS, *RELATIVE_TIMES])
      raise ValueError(f"time encoding {time_encoding!r}; known are {known}")
    if time_control not in TIME_CONTROLS:
      raise ValueError(
          f"time control {time_control!r}; known are {sorted(TIME_CONTROLS)}"
      )
    if position_encoding not in POSITION_ENCODINGS:
      raise ValueError(
          f"position encoding {position_encoding!r}; known are"
          f" {POSITION_ENCODINGS}"
      )
    width = table_dim or embed_dim
    # In float32 up to the norm: the gradient of a frequent token's row sums
    # thousands of numbers, which bfloat16 does not hold.
    make = lambda size, init: nnx.Embed(
        size, width, embedding_init=init, dtype=jnp.float32, rngs=rngs
    )
    self.token = make(vocab_size, INIT)
    # Trained vectors beside the table, see `layers.adapters.soft_prompt`.
    self.soft_prompt: SoftPrompt | None = nnx.data(None)
    # Rotary positions live in the attention; there is no table then.
    self.position = {
        "learned": lambda: make(max_length, INIT),
        "sinusoid": lambda: make(max_length, sinusoid_table),
        "rotary": lambda: None,
    }[position_encoding]()
    self.token_type = make(num_token_types, INIT) if num_token_types else None
    self.ngrams: NgramEmbedding | None = nnx.data(None)
    if ngram_order:
      self.ngrams = NgramEmbedding(
          ngram_order, ngram_buckets, width, rngs=rngs
      )
    self.session = make(session_rows, INIT) if session_rows else None
    self.time = TIME_ENCODINGS[time_encoding](width, rngs=rngs)
    self.time_control = time_control
    self.features = FeatureEncoding(features, width, rngs=rngs)
    self.norm = nnx.LayerNorm(
        width,
        epsilon=norm_epsilon,
        use_bias=use_bias,
        dtype=dtype,
        rngs=rngs,
    )
    # A narrow table is projected behind its norm (ALBERT, section 3.1).
    self.widen = (
        Linear(width, embed_dim, use_bias=use_bias, dtype=dtype, rngs=rngs)
        if width != embed_dim
        else None
    )
    self.dropout = Dropout(dropout_rate)

  def __call__(
      self,
      tokens: jax.Array,
      positions: jax.Array,
      time_gaps: jax.Array,
      segment_ids: jax.Array,
      features: Mapping[str, jax.Array],
      *,
      sessions: jax.Array | None = None,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    """[batch, length] each -> [batch, length, embed_dim]."""
    embedded = (
        self.token(tokens)
        if self.soft_prompt is None
        else self.soft_prompt(tokens, self.token)
    )
    time_gaps = TIME_CONTROLS[self.time_control](time_gaps)
    hidden = self.time(embedded, time_gaps)
    hidden = self.features(hidden, features)
    if self.ngrams is not None:
      hidden = hidden + self.ngrams(tokens, segment_ids)
    if self.position is not None:
      hidden = hidden + self.position(positions)
    if self.session is not None:
      assert sessions is not None
      last = self.session.num_embeddings - 1
      hidden = hidden + self.session(jnp.minimum(sessions, last))
    if self.token_type is not None:
      hidden = hidden + self.token_type(jnp.zeros((1,), jnp.int32))
    hidden = self.norm(hidden)
    hidden = self.dropout(hidden, deterministic=deterministic, rngs=rngs)
    return hidden if self.widen is None else self.widen(hidden)
