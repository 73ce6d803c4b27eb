"""Sizes of an encoder, and what it may have."""

import dataclasses

from behavior_lm.layers.experts.moe import MoEConfig

# Gradients in float16 would need their loss scaled: small ones vanish.
DTYPES = ("float32", "bfloat16")
# More is a damaged config: building them would take all memory.
MAX_LAYERS = 10_000


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
  """Sizes of an encoder; `vocab_size` comes from the tokenizer.

  Attributes:
    num_layers, embed_dim, num_heads, mlp_dim: depth; width of the states, of a
      multiple of the heads; width inside the feed-forward net.
    max_length: tokens of a segment at most, where positions have a table: the
      states of a longer one are NaN.
    max_segments: segments of a row at most.
    time_encoding: key of `layers.time_encoding.TIME_ENCODINGS`, one of
      `layers.relative_time.RELATIVE_TIMES`, or one of each joined by a "+".
    time_control: key of `layers.time_encoding.TIME_CONTROLS`: what is read
      instead of the gaps, for experiments.
    features: (name, categories) of the fields of a token that are read beside
      token and time gap; 0 categories is a number.
    position_encoding: one of `layers.position_encoding.POSITION_ENCODINGS`.
    norm_position: "post" (BERT) or "pre", with a norm behind the last layer.
    dropout_rate: share of numbers dropped in training.
    causal: no token sees a later one of its segment (but see
      `models.reformer`).
    norm_epsilon: added to the variance in norms.
    embedding_dim: width of the token table; None is embed_dim (ALBERT's are
      narrower, and projected).
    use_bias: of the linear layers and norms.
    dtype: of the computation, float32 or bfloat16; parameters are float32.
    num_token_types: rows of a table whose first is added to every token
      (BERT's segment types, for weights from elsewhere); 0 is none.
    activation: key of `layers.activations.ACTIVATIONS`.
    remat: what layers keep for the gradient, a key of `layers.stack.REMAT`.
    scan_layers: one compiled body for each period of layers, see
      `layers.stack`.
    attention_backend: which implementation attends, see `attention.backends`;
      "auto" takes the best that serves a layer on this device.
    num_experts: a mixture of so many experts of width mlp_dim, and a shared
      one, in the place of each feed-forward net; 0 is a plain net.
    ngram_order, ngram_buckets: a hashed vector of the last 2, 3, ... tokens is
      added to that of each token, see `layers.ngram_embedding`; order 0 adds
      none.
    session_rows: rows of a table whose vector of a token's session, counted
      in its segment, is added to the token; sessions behind the last row share
      it. 0 is no table.
    session_layers: so many layers at the bottom attend within sessions, those
      above within segments; the CLS is of the first session there.
    sentence_layers: so many layers among the sentences (sessions) of a segment,
      above those `session_layers` and below the others, see
      `models.encoders.sentences`; 0 is one level.
    max_sentences: sentences of a row that have a vector there; 0 is a quarter
      of max_length.
    top_k, balance: experts per token, and how they are balanced, see
      `layers.experts.moe`.
  """

  vocab_size: int
  num_layers: int
  embed_dim: int
  num_heads: int
  mlp_dim: int
  max_length: int
  max_segments: int = 16
  time_encoding: str = "gate"
  features: tuple[tuple[str, int], ...] = ()
  position_encoding: str = "learned"
  norm_position: str = "post"
  dropout_rate: float = 0.1
  causal: bool = False
  dtype: str = "float32"
  embedding_dim: int | None = None
  use_bias: bool = True
  num_token_types: int = 0
  norm_epsilon: float = 1e-12
  activation: str = "gelu"
  remat: str = "none"
  scan_layers: bool = False
  attention_backend: str = "auto"
  num_experts: int = 0
  top_k: int = 2
  balance: str = "bias"
  ngram_order: int = 0
  ngram_buckets: int = 32_768
  time_control: str = "none"
  session_rows: int = 0
  session_layers: int = 0
  sentence_layers: int = 0
  max_sentences: int = 0

  @property
  def num_sentences(self) -> int:
    """Sentences of a row that have a vector."""
    return self.max_sentences or max(1, self.max_length // 4)

  @property
  def experts(self) -> MoEConfig | None:
    """The mixture of each layer."""
    if not self.num_experts:
      return None
    return MoEConfig(
        self.num_experts, self.top_k, self.mlp_dim, balance=self.balance
    )

  @property
  def fields(self) -> tuple[str, ...]:
    """What a batch must hold, names of `data.fields`."""
    names = [name for name, _ in self.features]
    if self.session_rows or self.session_layers:
      names.append("sessions")
    own = ("tokens", "positions", "segment_ids", "time_gaps")
    return (*own, *dict.fromkeys(names))
