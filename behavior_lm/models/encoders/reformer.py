"""Reformer over packed event sequences (arXiv 2001.04451), with time.

Layers that attend nearby and layers that find far keys by hashing take turns,
on two residual streams that need not be kept for the gradient. Deviations from
the paper: rows are packed and attention stays within a segment; embeddings are
normed and positions are a table or rotary, not axial; local layers have a
sliding window, and a pair that meets in several rounds of hashing counts once
(`faithful` undoes both); a join projects the two streams, normed together, to
the width that heads and poolings expect. Where chunks of hashed tokens begin
depends on the whole row: a sequence packed with others does not have quite the
states that it has alone, as it has in other models. For the same reason a
causal Reformer knows a little of the future: later tokens are not read, but
where they are sorted decides which earlier ones an earlier token meets.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.hashing import FIXED_SEED
from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.linear import Linear
from behavior_lm.layers.reformer_layer import as_functions
from behavior_lm.layers.reformer_layer import AttentionHalf
from behavior_lm.layers.reformer_layer import FeedForwardHalf
from behavior_lm.layers.reformer_layer import ReformerLayer
from behavior_lm.layers.relative_time import split_name
from behavior_lm.layers.reversible import Halves
from behavior_lm.layers.reversible import last_layer
from behavior_lm.layers.reversible import plain_stack
from behavior_lm.layers.reversible import Reversible
from behavior_lm.layers.reversible import reversible_stack
from behavior_lm.layers.reversible import Streams
from behavior_lm.layers.stack import REMAT
from behavior_lm.models.encoders.config import EncoderConfig
from behavior_lm.models.encoders.encoder import Encoder


@dataclasses.dataclass(frozen=True)
class ReformerConfig(EncoderConfig):
  """As `EncoderConfig`, and how layers attend.

  Attributes:
    norm_position: "pre": reversible layers cannot be normed behind.
    attention_layers: "local" or "lsh" for each layer, repeated in turn.
    window_size: tokens on EACH side in local layers.
    num_hashes: rounds of hashing in lsh layers.
    chunk_size: tokens in a chunk of hashed tokens.
    num_buckets: even, or two numbers whose product counts; None fits them to
      the length.
    feed_forward_chunk: tokens that meet the feed-forward net at once; 0 is all.
    reversible: states are computed again for the gradient: less is kept than
      by any `remat`, for a third more time; such layers are always scanned.
      False keeps what `remat` says, and does what `scan_layers` says.
    faithful: as the authors' code where ours is another: local layers attend
      by chunks of chunk_size, one back; see `attention.lsh` for lsh layers. For
      weights from there.
  """

  norm_position: str = "pre"
  attention_layers: tuple[str, ...] = ("local", "lsh")
  window_size: int = 64
  num_hashes: int = 2
  chunk_size: int = 64
  num_buckets: int | tuple[int, int] | None = None
  feed_forward_chunk: int = 0
  reversible: bool = True
  faithful: bool = False


class Reformer(Encoder):
  """Local and hashing layers on two residual streams."""

  config: ReformerConfig

  def __init__(self, config: ReformerConfig, *, rngs: nnx.Rngs):
    _check(config)
    specs = {"local": _local_spec(config), "lsh": _lsh_spec(config)}
    kinds = config.attention_layers
    super().__init__(
        config,
        lambda number, shared: _make_layer(
            config, specs[kinds[number % len(kinds)]], shared
        ),
        rngs=rngs,
    )
    dtype = jnp.dtype(config.dtype)
    width = config.embed_dim
    self.streams_norm = nnx.LayerNorm(
        2 * width,
        epsilon=config.norm_epsilon,
        use_bias=config.use_bias,
        dtype=dtype,
        rngs=rngs,
    )
    self.join = Linear(
        2 * width, width, use_bias=config.use_bias, dtype=dtype, rngs=rngs
    )

  def _make_final_norm(self, rngs: nnx.Rngs) -> None:
    """`streams_norm` norms both streams together instead."""

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
    """[batch, length, embed_dim] after so many layers, joined.

    `first` is 0, `clock` and `since` are None. With `offsets` [batch, n], row
    offsets, only those states: [batch, n, embed_dim].
    """
    if clock is not None or since is not None:
      raise ValueError(
          "layers of the Reformer hash what they attend to: they read no clock"
          " and no `since`"
      )
    if not deterministic and rngs is None:
      raise ValueError(
          "training draws rotations and dropout: it needs rngs with a stream"
          " `dropout`"
      )
    key = None if deterministic or rngs is None else rngs.dropout()
    keys = self.draw_keys(key, depth, hidden.shape[1])
    return self.join(
        self.run_streams(
            hidden,
            keys,
            segment_ids=segment_ids,
            positions=positions,
            offsets=offsets,
        )
    )

  def draw_keys(
      self, key: jax.Array | None, depth: int, length: int
  ) -> list[Halves]:
    """What each layer draws at random: ((dropout, rotations), dropout).

    Args:
      key: of a training step; None is evaluation: no dropout, fixed rotations.
      depth: layers.
      length: of a row.
    """
    if key is None:
      fixed = jax.random.key(FIXED_SEED)
      return [
          Halves((None, layer.attention.draw_rotations(fixed, length)), None)
          for layer in self._first(depth)
      ]
    keys = jax.random.split(key, (depth, 3))
    drops = self.config.dropout_rate > 0
    return [
        Halves(
            (
                own[0] if drops else None,
                layer.attention.draw_rotations(own[1], length),
            ),
            own[2] if drops else None,
        )
        for layer, own in zip(self._first(depth), keys, strict=True)
    ]

  def run_streams(
      self,
      hidden: jax.Array,
      keys: Sequence[Halves],
      *,
      segment_ids: jax.Array,
      positions: jax.Array,
      offsets: jax.Array | None = None,
  ) -> jax.Array:
    """The two streams, normed together: what the original's encoder returns.

    Args:
      hidden: [batch, length, embed_dim], embeddings.
      keys: of each layer to run, see `draw_keys`.
      segment_ids, positions: [batch, length] int32.
      offsets: [batch, n] row offsets, if only those are wanted. The last layer
        is then not undone but kept: most of it is left out.

    Returns:
      [batch, length or n, 2 * embed_dim].
    """
    config = self.config
    functions, params = as_functions(self._first(len(keys)))
    start = hidden.astype(jnp.float32)
    row = {"segment_ids": segment_ids, "positions": positions}
    whole = len(keys) if offsets is None else max(len(keys) - 1, 0)
    inputs = params[:whole], keys[:whole], row, Streams(start, start)
    if config.reversible:
      streams = reversible_stack(functions[:whole], *inputs)
    else:
      kept = {layer: _remat(layer, config.remat) for layer in functions}
      functions = [kept[layer] for layer in functions]
      streams = plain_stack(
          functions[:whole], *inputs, scan=config.scan_layers
      )
    if offsets is not None:
      rest = functions[whole:], params[whole:], keys[whole:]
      streams = last_layer(*rest, row, streams, offsets)
    return self.streams_norm(jnp.concatenate(streams, -1))

  def attention_weights(
      self, batch: Mapping[str, jax.Array], layer: int
  ) -> jax.Array:
    """See `Encoder.attention_weights`; with the rotations of evaluation."""
    if not 1 <= layer <= self.config.num_layers:
      raise ValueError(
          f"layer {layer}: this model has {self.config.num_layers}, from 1 on"
      )
    *keys, last = self.draw_keys(None, layer, batch["tokens"].shape[1])
    functions, params = as_functions(self._first(layer - 1))
    start = self.embedded(batch).astype(jnp.float32)
    row = {name: batch[name] for name in ("segment_ids", "positions")}
    streams = plain_stack(functions, params, keys, row, Streams(start, start))
    half = self._first(layer)[-1].attention
    return half.weights(streams.second, rotations=last.attention[1], **row)

  def _first(self, depth: int) -> list[ReformerLayer]:
    found = [x for x in self.layers if isinstance(x, ReformerLayer)]
    return found[:depth]


def _make_layer(
    config: ReformerConfig, spec: AttentionSpec, shared: dict[str, Any]
) -> ReformerLayer:
  return ReformerLayer(
      AttentionHalf(
          config.embed_dim,
          config.num_heads,
          spec,
          config.dropout_rate,
          rotary=config.position_encoding == "rotary",
          **shared,
      ),
      FeedForwardHalf(
          config.embed_dim,
          config.mlp_dim,
          config.dropout_rate,
          activation=config.activation,
          positions_at_once=config.feed_forward_chunk,
          **shared,
      ),
  )


def _local_spec(config: ReformerConfig) -> AttentionSpec:
  shared: dict[str, Any] = dict(
      causal=config.causal, backend=config.attention_backend
  )
  if config.faithful:
    return AttentionSpec("chunked", chunk_size=config.chunk_size, **shared)
  return AttentionSpec(
      "sliding_window", window_size=config.window_size, **shared
  )


def _lsh_spec(config: ReformerConfig) -> AttentionSpec:
  return AttentionSpec(
      kind="lsh",
      causal=config.causal,
      backend=config.attention_backend,
      num_hashes=config.num_hashes,
      chunk_size=config.chunk_size,
      num_buckets=config.num_buckets,
      faithful=config.faithful,
  )


def _remat(layer: Reversible, policy: str) -> Reversible:
  return Reversible(
      REMAT[policy](layer.attention), REMAT[policy](layer.feed_forward)
  )


def _check(config: ReformerConfig) -> None:
  for name in ("session_layers", "sentence_layers"):
    if value := getattr(config, name):
      raise ValueError(
          f"{name} is {value}: hashing sorts whole rows, and layers of the"
          f" Reformer run as one. Take another model, or {name}=0"
      )
  if split_name(config.time_encoding)[1] != "none":
    raise ValueError(
        f"time_encoding {config.time_encoding!r}: layers of the Reformer hash"
        " what they attend to, and read no clock. Take another model, or a"
        " time encoding that is added to the tokens (bucket, say)"
    )
  if config.num_experts:
    raise ValueError(
        f"num_experts is {config.num_experts}: layers of the Reformer are"
        " computed again for the gradient and would be counted twice. Take"
        " another model, or num_experts=0"
    )
  unknown = set(config.attention_layers) - {"local", "lsh"}
  if unknown or not config.attention_layers:
    raise ValueError(
        f"attention_layers {config.attention_layers}: give 'local' or 'lsh' for"
        " each layer, or for the first few, to be repeated"
    )
  own = {name: getattr(config, name) for name in ("num_hashes", "num_buckets")}
  idle = [
      f"{name} {value}"
      for name, value in own.items()
      if value != getattr(ReformerConfig, name)
  ]
  # Weights from elsewhere come with settings of layers that they lack.
  if idle and not config.faithful and "lsh" not in config.attention_layers:
    raise ValueError(
        f"{', '.join(idle)} means nothing without an 'lsh' layer in"
        f" attention_layers {config.attention_layers}: leave it out"
    )
  if config.norm_position != "pre":
    raise ValueError(
        f"norm_position {config.norm_position!r}: reversible layers norm what"
        " goes in, set 'pre'"
    )
  if config.remat not in REMAT:
    raise ValueError(f"remat {config.remat!r}; known are {sorted(REMAT)}")
  if config.reversible and config.remat != "none":
    raise ValueError(
        f"remat {config.remat!r} means nothing where layers are reversible,"
        " which keep less: leave it 'none', or set reversible=False"
    )
  if config.faithful and config.window_size != ReformerConfig.window_size:
    raise ValueError(
        f"window_size {config.window_size} means nothing where local layers"
        " attend by chunks: leave it out, or set faithful=False"
    )
