"""What all encoders share: embeddings, a stack of layers, states and vectors.

A model says what its layers are; the rest is the same program.
"""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.common.errors import UserError
from behavior_lm.common.rows import take_rows_or_all
from behavior_lm.layers.embeddings import EventEmbeddings
from behavior_lm.layers.experts.moe import MoEConfig
from behavior_lm.layers.stack import run_stack
from behavior_lm.models.encoders.sentences import SentenceLayers

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
    time_encoding: key of `layers.time_encoding.TIME_ENCODINGS`.
    time_control: key of `layers.time_encoding.TIME_CONTROLS`: what the time
      encoding reads instead of the gaps, for experiments.
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


# Makes layer number i with what all layers share.
MakeLayer = Callable[[int, dict[str, Any]], nnx.Module]


class Encoder(nnx.Module):
  """Embeddings and layers; heads stand beside it.

  Args:
    config: sizes.
    make_layer: gives each layer, called once for each of `num_modules`.
    num_modules: layers with weights of their own; the stack repeats them in
      turn until it is num_layers deep. None is num_layers.
    rngs: for the parameters.

  Raises:
    ValueError: if a setting is unknown, or two do not fit.
  """

  def __init__(
      self,
      config: EncoderConfig,
      make_layer: MakeLayer,
      *,
      num_modules: int | None = None,
      rngs: nnx.Rngs,
  ):
    if config.dtype not in DTYPES:
      raise ValueError(
          f"dtype {config.dtype!r}; known are {', '.join(DTYPES)}"
      )
    if not 0 <= config.session_layers <= config.num_layers:
      raise ValueError(
          f"session_layers {config.session_layers}: this model has"
          f" {config.num_layers} layers"
      )
    if config.sentence_layers < 0 or config.max_sentences < 0:
      raise ValueError(
          f"sentence_layers {config.sentence_layers} and max_sentences"
          f" {config.max_sentences} must be at least 0"
      )
    if config.sentence_layers and not config.session_layers:
      raise ValueError(
          f"sentence_layers {config.sentence_layers} with session_layers 0: the"
          " vector of a sentence is that of layers which read it apart; set"
          " session_layers to 1 or more"
      )
    self.config = config
    # Of the first token of a segment, see `layers.adapters.prefix`.
    self.first_position = 0
    shared: dict[str, Any] = dict(
        norm_epsilon=config.norm_epsilon,
        dtype=jnp.dtype(config.dtype),
        rngs=rngs,
    )
    self.embed = EventEmbeddings(
        config.vocab_size,
        config.embed_dim,
        config.max_length,
        config.time_encoding,
        config.position_encoding,
        config.dropout_rate,
        config.features,
        time_control=config.time_control,
        table_dim=config.embedding_dim,
        num_token_types=config.num_token_types,
        ngram_order=config.ngram_order,
        ngram_buckets=config.ngram_buckets,
        session_rows=config.session_rows,
        use_bias=config.use_bias,
        **shared,
    )
    shared["use_bias"] = config.use_bias
    if config.experts is not None:
      shared["experts"] = config.experts
    if config.num_layers > MAX_LAYERS:
      raise UserError(
          f"num_layers is {config.num_layers}; {MAX_LAYERS:,} is the most."
      )
    self.layers = nnx.List([
        make_layer(number, shared)
        for number in range(num_modules or config.num_layers)
    ])
    self.sentences: SentenceLayers | None = nnx.data(None)
    if config.sentence_layers:
      self.sentences = SentenceLayers(config, shared)
    self.final_norm = self._make_final_norm(rngs)

  def _make_final_norm(self, rngs: nnx.Rngs) -> nnx.Module | None:
    """The norm behind the last layer; layers with norms after need none."""
    config = self.config
    if config.norm_position != "pre":
      return None
    return nnx.LayerNorm(
        config.embed_dim,
        epsilon=config.norm_epsilon,
        use_bias=config.use_bias,
        dtype=jnp.dtype(config.dtype),
        rngs=rngs,
    )

  def encode(
      self,
      batch: Mapping[str, jax.Array],
      offsets: jax.Array | None = None,
      layer: int | None = None,
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """Hidden states of a packed batch.

    Args:
      batch: the arrays that `config.fields` names, [batch, length] each; the
        position encoding of the embeddings reads `places` instead of
        `positions` where the batch has them. The result of `embedded` may
        stand under that name: then it is not computed again.
      offsets: [batch, n] row offsets, if only those states are wanted: the
        last layer then computes no others.
      layer: 0 (embeddings) to num_layers, which is also None.
      deterministic: no dropout.
      rngs: stream `dropout`, for training.

    Returns:
      [batch, length or n, embed_dim].

    Raises:
      ValueError: if there is no such layer, or dropout has no rngs.
    """
    depth = self.config.num_layers if layer is None else layer
    if not 0 <= depth <= self.config.num_layers:
      raise ValueError(
          f"layer {layer}: this model has {self.config.num_layers}; 0 is the"
          " embeddings"
      )
    segment_ids, positions = batch["segment_ids"], batch["positions"]
    hidden = batch.get("embedded")
    if hidden is None:
      hidden = self.embedded(batch, deterministic=deterministic, rngs=rngs)
    shared: dict[str, Any] = dict(
        positions=positions, deterministic=deterministic, rngs=rngs
    )
    low = min(depth, self.config.session_layers)
    if low:
      # The level above needs the states of all tokens.
      last = low == depth and self.sentences is None
      sentence_ids = session_segments(segment_ids, batch["sessions"])
      hidden = self.run_layers(
          hidden,
          low,
          segment_ids=sentence_ids,
          offsets=offsets if last else None,
          **shared,
      )
    if self.sentences is not None and low == self.config.session_layers:
      hidden = self.sentences(
          hidden,
          segment_ids=segment_ids,
          sentence_ids=sentence_ids,
          dropout_key=self._dropout_key(deterministic, rngs),
      )
      hidden = take_rows_or_all(hidden, offsets if low == depth else None)
    if low < depth or not depth:
      hidden = self.run_layers(
          hidden,
          depth - low,
          first=low,
          segment_ids=segment_ids,
          offsets=offsets,
          **shared,
      )
    return hidden if self.final_norm is None else self.final_norm(hidden)

  def embedded(
      self,
      batch: Mapping[str, jax.Array],
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """[batch, length, embed_dim] that the first layer reads, see `encode`."""
    return self.embed(
        batch["tokens"],
        batch.get("places", batch["positions"]) + self.first_position,
        batch["time_gaps"],
        batch["segment_ids"],
        {name: batch[name] for name, _ in self.config.features},
        sessions=batch["sessions"] if self.config.session_rows else None,
        deterministic=deterministic,
        rngs=rngs,
    )

  def run_layers(
      self,
      hidden: jax.Array,
      depth: int,
      *,
      segment_ids: jax.Array,
      positions: jax.Array,
      deterministic: bool,
      rngs: nnx.Rngs | None,
      offsets: jax.Array | None = None,
      first: int = 0,
  ) -> jax.Array:
    """[batch, length, embed_dim] after so many layers, before a last norm.

    They are those from number `first` on. With `offsets` [batch, n], row
    offsets, only those states: [batch, n, embed_dim].
    """
    # A model without layers is the head on the embeddings.
    first %= max(len(self.layers), 1)
    return run_stack(
        [*self.layers[first:], *self.layers[:first]],
        hidden,
        depth=depth,
        remat=self.config.remat,
        scan=self.config.scan_layers,
        dropout_key=self._dropout_key(deterministic, rngs),
        offsets=offsets,
        segment_ids=segment_ids,
        positions=positions,
    )

  def _dropout_key(
      self, deterministic: bool, rngs: nnx.Rngs | None
  ) -> jax.Array | None:
    """The next key for a stack of layers; None is no dropout."""
    if deterministic or not self.config.dropout_rate:
      return None
    if rngs is None:
      raise ValueError("dropout needs rngs with a stream `dropout`")
    return rngs.dropout()


def session_segments(
    segment_ids: jax.Array, sessions: jax.Array
) -> jax.Array:
  """[batch, length] int32 each -> ids of the sessions of all segments.

  They count from 1 along the row; padding keeps 0.
  """
  starts = lambda ids: jnp.diff(ids, axis=1, prepend=ids[:, :1] - 1) != 0
  numbers = jnp.cumsum(starts(segment_ids) | starts(sessions), 1)
  return jnp.where(segment_ids > 0, numbers, 0)
