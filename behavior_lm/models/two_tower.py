"""Long- and short-term interest: two towers over shared features and experts.

The fields of an event are summed, or joined and projected; a mixture of experts
adds to them; then each sequence has a transformer of its own, whose CLS state
(or mean) is the interest vector.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.dropout import Dropout
from behavior_lm.layers.embeddings import INIT
from behavior_lm.layers.experts.balance import balance_figures
from behavior_lm.layers.experts.balance import sequence_loss
from behavior_lm.layers.experts.moe import MoE
from behavior_lm.layers.experts.moe import MoEConfig
from behavior_lm.layers.feature_encoding import FeatureEncoding
from behavior_lm.layers.linear import Linear
from behavior_lm.layers.pooling import POOLINGS
from behavior_lm.layers.stack import run_stack
from behavior_lm.layers.transformer import TransformerLayer

Batch = Mapping[str, jax.Array]

JOINS = ("sum", "project")
LONG, SHORT = "long/", "short/"
_EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class TwoTowerConfig:
  """Sizes of both towers; `vocab_size` comes from the items.

  Attributes:
    vocab_size: items and special tokens.
    features: (name, categories) of the fields beside the item; 0 categories is
      a number.
    max_length: tokens of a sequence at most, CLS included.
    join: how the fields of an event become one vector, "sum" or "project".
    embed_dim, num_layers, num_heads, head_dim, mlp_dim: of each tower. Without
      layers, a tower pools the features themselves.
    pooling: key of `layers.pooling.POOLINGS`.
    norm_position, activation: see `EncoderConfig`.
    dropout_rate: share of numbers dropped in training.
    dtype: of the computation.
    share_towers: both sequences go through the same layers: they are alike from
      the first step on.
    experts: of the mixture; None has none.
  """

  vocab_size: int
  features: tuple[tuple[str, int], ...]
  max_length: int
  join: str = "sum"
  embed_dim: int = 128
  num_layers: int = 4
  num_heads: int = 8
  head_dim: int = 64
  mlp_dim: int = 512
  pooling: str = "cls"
  norm_position: str = "pre"
  activation: str = "gelu"
  dropout_rate: float = 0.1
  dtype: str = "float32"
  share_towers: bool = False
  experts: MoEConfig | None = None
  position_encoding: str = "learned"

  @property
  def fields(self) -> tuple[str, ...]:
    """What a sequence must hold, names of `data.fields` without a prefix."""
    names = (name for name, _ in self.features)
    return ("tokens", "segment_ids", "positions", *names)


class EventVectors(nnx.Module):
  """The fields of each event as one vector."""

  def __init__(self, config: TwoTowerConfig, *, rngs: nnx.Rngs):
    if config.join not in JOINS:
      raise ValueError(
          f"join {config.join!r}; known are {', '.join(JOINS)}"
      )
    width = config.embed_dim
    self.token = nnx.Embed(
        config.vocab_size, width, embedding_init=INIT, rngs=rngs
    )
    self.features = FeatureEncoding(config.features, width, rngs=rngs)
    self.project = (
        Linear(
            width * (1 + len(config.features)),
            width,
            dtype=jnp.dtype("float32"),
            rngs=rngs,
        )
        if config.join == "project"
        else None
    )
    self.norm = nnx.LayerNorm(width, epsilon=_EPSILON, rngs=rngs)

  def __call__(self, fields: Batch) -> jax.Array:
    """{name: [batch, length]} -> [batch, length, embed_dim] float32."""
    vectors = [self.token(fields["tokens"]), *self.features.vectors(fields)]
    if self.project is None:
      return self.norm(sum(vectors[1:], vectors[0]))
    return self.norm(self.project(jnp.concatenate(vectors, -1)))


class Tower(nnx.Module):
  """Positions, transformer layers and pooling over one sequence."""

  def __init__(self, config: TwoTowerConfig, *, rngs: nnx.Rngs):
    if config.pooling not in POOLINGS:
      raise ValueError(
          f"pooling {config.pooling!r}; known are {', '.join(POOLINGS)}"
      )
    if config.pooling == "cls" and not config.num_layers:
      raise ValueError(
          "pooling 'cls' without layers would know no event: set"
          " pooling='mean'"
      )
    width, dtype = config.embed_dim, jnp.dtype(config.dtype)
    spec = AttentionSpec("dense")
    self.layers = nnx.List([
        TransformerLayer.of(
            config,
            spec,
            head_dim=config.head_dim,
            norm_epsilon=_EPSILON,
            dtype=dtype,
            rngs=rngs,
        )
        for _ in range(config.num_layers)
    ])
    self.position = (
        nnx.Embed(config.max_length, width, embedding_init=INIT, rngs=rngs)
        if config.num_layers
        else None
    )
    self.final_norm = (
        nnx.LayerNorm(width, epsilon=_EPSILON, rngs=rngs)
        if config.norm_position == "pre"
        else None
    )
    self.dropout = Dropout(config.dropout_rate)
    self.pooling = POOLINGS[config.pooling](width, rngs=rngs)

  def __call__(
      self,
      hidden: jax.Array,
      segment_ids: jax.Array,
      positions: jax.Array,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    """[batch, length, embed_dim] -> [batch, embed_dim] float32."""
    if self.position is not None:
      hidden = hidden + self.position(positions)
    hidden = self.dropout(hidden, deterministic=deterministic, rngs=rngs)
    drops = not deterministic and self.dropout.rate > 0
    if len(self.layers):
      hidden = run_stack(
          self.layers,
          hidden,
          depth=len(self.layers),
          dropout_key=rngs.dropout() if drops and rngs is not None else None,
          segment_ids=segment_ids,
          positions=positions,
      )
    if self.final_norm is not None:
      hidden = self.final_norm(hidden)
    return self.pooling(hidden, segment_ids, positions, 1)[:, 0]


class TwoTower(nnx.Module):
  """Interest vectors of a long and of a short sequence.

  Args:
    config: sizes.
    rngs: for the parameters.

  Raises:
    ValueError: if a setting is unknown, or two do not fit.
  """

  def __init__(self, config: TwoTowerConfig, *, rngs: nnx.Rngs):
    self.config = config
    self.embed = EventVectors(config, rngs=rngs)
    self.moe = (
        MoE(
            config.embed_dim,
            config.experts,
            dtype=jnp.dtype(config.dtype),
            rngs=rngs,
        )
        if config.experts is not None
        else None
    )
    self.long = Tower(config, rngs=rngs)
    self.short = (
        None if config.share_towers else Tower(config, rngs=rngs)
    )

  def __call__(
      self,
      batch: Batch,
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> dict[str, Any]:
    """Both vectors of each row, while training.

    Args:
      batch: the fields of `config.fields` with the prefixes `long/` and
        `short/`, [batch, length] each, one sequence per row.
      deterministic: no dropout; balance rules stay as they are.
      rngs: stream `dropout`, for training.

    Returns:
      `long` and `short` [batch, embed_dim] float32; `sequence_loss`, see
      `expert_balance.sequence_loss`; `figures`, scalars for the log.
    """
    spans = [cut_prefix(batch, prefix) for prefix in (LONG, SHORT)]
    # Both sequences meet the experts in one go: one step of the balance rule.
    hidden = jnp.concatenate([self.embed(fields) for fields in spans], 1)
    joined = {
        name: jnp.concatenate([fields[name] for fields in spans], 1)
        for name in ("segment_ids", "positions")
    }
    hidden, aux = self._mix(
        hidden, routed_places(joined), deterministic=deterministic, rngs=rngs
    )
    size = spans[0]["tokens"].shape[1]
    vectors = [
        tower(
            part,
            fields["segment_ids"],
            fields["positions"],
            deterministic=deterministic,
            rngs=rngs,
        )
        for tower, part, fields in zip(
            (self._tower(LONG), self._tower(SHORT)),
            (hidden[:, :size], hidden[:, size:]),
            spans,
            strict=True,
        )
    ]
    return {"long": vectors[0], "short": vectors[1], **aux}

  def vectors(self, fields: Batch, tower: str) -> jax.Array:
    """[batch, embed_dim] of one sequence per row, by the tower of a prefix."""
    hidden, _ = self._mix(
        self.embed(fields),
        routed_places(fields),
        deterministic=True,
        rngs=None,
    )
    return self._tower(tower)(
        hidden,
        fields["segment_ids"],
        fields["positions"],
        deterministic=True,
        rngs=None,
    )

  def experts_of(self, fields: Batch) -> tuple[jax.Array, jax.Array]:
    """[batch, length, k] experts, and [batch, length] where they count."""
    assert self.moe is not None, "this model has no experts"
    chosen = self.moe.route(self.embed(fields)).chosen
    return chosen, routed_places(fields)

  def _tower(self, prefix: str) -> Tower:
    return self.long if prefix == LONG or self.short is None else self.short

  def _mix(
      self,
      hidden: jax.Array,
      routed: jax.Array,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> tuple[jax.Array, dict[str, Any]]:
    if self.moe is None:
      return hidden, {"sequence_loss": jnp.zeros(()), "figures": {}}
    routing = self.moe.route(hidden)
    added = self.moe.apply(
        hidden, routed, routing, deterministic=deterministic, rngs=rngs
    )
    figures = balance_figures(self.moe.balance.load[...])
    loss = sequence_loss(routing.scores, routing.chosen, routed)
    return hidden + added, {"sequence_loss": loss, "figures": figures}


def routed_places(fields: Batch) -> jax.Array:
  """[batch, length] bool: events; neither padding nor CLS goes to experts."""
  return (fields["segment_ids"] > 0) & (fields["positions"] > 0)


def cut_prefix(batch: Batch, prefix: str) -> dict[str, jax.Array]:
  """The fields of one sequence, by their names without the prefix."""
  return {
      name.removeprefix(prefix): values
      for name, values in batch.items()
      if name.startswith(prefix)
  }
