"""What all encoders share: embeddings, a stack of layers, states and vectors.

A model says what its layers are; the rest is the same program.
"""

from collections.abc import Callable, Mapping
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.common.errors import UserError
from behavior_lm.common.rows import session_segments
from behavior_lm.common.rows import take_rows_or_all
from behavior_lm.layers.embeddings import EventEmbeddings
from behavior_lm.layers.relative_time import make_clock
from behavior_lm.layers.relative_time import split_name
from behavior_lm.layers.stack import run_stack
from behavior_lm.layers.time_encoding import TIME_CONTROLS
from behavior_lm.models.encoders.config import DTYPES
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.models.encoders.config import MAX_LAYERS
from behavior_lm.models.encoders.sentences import SentenceLayers

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
    added_time, relative_time = split_name(config.time_encoding)
    self.reads_clock = relative_time != "none"
    self.embed = EventEmbeddings(
        config.vocab_size,
        config.embed_dim,
        config.max_length,
        added_time,
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
    if self.reads_clock:
      shared["relative_time"] = relative_time
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
        `positions` where the batch has them, and no token attends to positions
        before its `since`, see `objectives.history_tokens`. The result of
        `embedded` may stand under that name: then it is not computed again.
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
    hidden = self._states(
        batch, offsets, depth, deterministic=deterministic, rngs=rngs
    )
    return hidden if self.final_norm is None else self.final_norm(hidden)

  def attention_weights(
      self, batch: Mapping[str, jax.Array], layer: int
  ) -> jax.Array:
    """How much each token weighs in what a layer's attention gives each.

    Quadratic in the length: for pictures of few rows.

    Args:
      batch: see `encode`.
      layer: from 1 to num_layers.

    Returns:
      [batch, num_heads, length, length] float32, queries down, keys across; a
      row sums to 1, or to 0 at padding.

    Raises:
      ValueError: if there is no such layer.
    """
    if not 1 <= layer <= self.config.num_layers:
      raise ValueError(
          f"layer {layer}: this model has {self.config.num_layers}, from 1 on"
      )
    hidden = self._states(batch, None, layer - 1)
    segment_ids = batch["segment_ids"]
    if layer <= self.config.session_layers:
      segment_ids = session_segments(segment_ids, batch["sessions"])
    own: Any = self.layers[(layer - 1) % len(self.layers)]
    row = dict(segment_ids=segment_ids, positions=batch["positions"])
    weights: jax.Array = own.attention_weights(
        hidden, **row, **self._clock(batch)
    )
    return weights

  def _clock(self, batch: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
    """What layers get that read time."""
    if not self.reads_clock:
      return {}
    control = TIME_CONTROLS[self.config.time_control]
    return {"clock": make_clock(control(batch["time_gaps"]))}

  def _states(
      self,
      batch: Mapping[str, jax.Array],
      offsets: jax.Array | None,
      depth: int,
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """What `encode` gives, before a last norm."""
    if not 0 <= depth <= self.config.num_layers:
      raise ValueError(
          f"layer {depth}: this model has {self.config.num_layers}; 0 is the"
          " embeddings"
      )
    segment_ids, positions = batch["segment_ids"], batch["positions"]
    hidden = batch.get("embedded")
    if hidden is None:
      hidden = self.embedded(batch, deterministic=deterministic, rngs=rngs)
    shared: dict[str, Any] = dict(
        positions=positions, deterministic=deterministic, rngs=rngs
    )
    shared |= self._clock(batch)
    if "since" in batch:
      shared["since"] = batch["since"]
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
    return hidden

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
      clock: jax.Array | None = None,
      since: jax.Array | None = None,
  ) -> jax.Array:
    """[batch, length, embed_dim] after so many layers, before a last norm.

    They are those from number `first` on. With `offsets` [batch, n], row
    offsets, only those states: [batch, n, embed_dim].
    """
    more = {"clock": clock, "since": since}
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
        **{name: x for name, x in more.items() if x is not None},
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
