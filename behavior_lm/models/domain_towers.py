"""A click model of several domains: features, experts, one tower per domain."""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.dropout import Dropout
from behavior_lm.layers.experts.gated import Mmoe
from behavior_lm.layers.experts.gated import Ple
from behavior_lm.layers.experts.gated import StackedMlp
from behavior_lm.layers.linear import Linear

# How much of a network the domains share.
STRUCTURES = ("single", "separate", "mmoe", "cgc", "ple")
GATE_INPUTS = ("features", "language")


@dataclasses.dataclass(frozen=True)
class DomainConfig:
  """Sizes of `DomainTowers`.

  Attributes:
    num_ids: rows of the table of all categorical columns.
    num_columns: categorical columns.
    num_dense: numbers of a row.
    num_domains: domains that are trained.
    vector_dim: width of a prompt's vector; 0 is no language model.
    structure: single (one network and one tower for all), separate (a network
      and a tower per domain), mmoe, cgc or ple, see `layers.experts.gated`.
    general_tower: one more tower, which all rows train and which predicts for
      a domain that was never seen.
    embed_dim: of a categorical value.
    vector_width: what a prompt's vector is projected to.
    gate_input: what gates read: "features" (what experts read), or "language"
      (the prompt's vector beside it).
    num_experts: of mmoe.
    own_experts, shared_experts: per tower and for all, of cgc and ple.
    num_layers: of ple.
    hidden: widths of an expert.
    tower: widths of a tower.
    dropout_rate: of the input, in experts and in towers.
  """

  num_ids: int
  num_columns: int
  num_dense: int
  num_domains: int
  vector_dim: int = 0
  structure: str = "cgc"
  general_tower: bool = True
  embed_dim: int = 16
  vector_width: int = 32
  gate_input: str = "language"
  num_experts: int = 4
  own_experts: int = 1
  shared_experts: int = 2
  num_layers: int = 2
  hidden: Sequence[int] = (64, 32)
  tower: Sequence[int] = (16,)
  dropout_rate: float = 0.1

  def __post_init__(self) -> None:
    if self.structure not in STRUCTURES:
      raise ValueError(
          f"structure {self.structure!r}; known are {', '.join(STRUCTURES)}"
      )
    if self.gate_input not in GATE_INPUTS:
      raise ValueError(
          f"gate_input {self.gate_input!r}; known are {', '.join(GATE_INPUTS)}"
      )
    if not self.hidden or min(*self.hidden, *self.tower, 1) < 1:
      raise ValueError(
          f"hidden {tuple(self.hidden)} and tower {tuple(self.tower)}: give"
          " widths of at least 1, and an expert one layer at least"
      )

  @property
  def num_towers(self) -> int:
    if self.structure == "single":
      return 1
    return self.num_domains + self.general_tower

  @property
  def fields(self) -> tuple[str, ...]:
    """What a batch must hold, names of `data.fields`."""
    vector = ("vector",) if self.vector_dim else ()
    return ("ids", "dense", "domain", *vector)


class DomainTowers(nnx.Module):
  """P(liked) of a row by the tower of its domain.

  Args:
    config: sizes.
    rngs: for the parameters.
  """

  def __init__(self, config: DomainConfig, *, rngs: nnx.Rngs):
    self.config = config
    self.table = nnx.Embed(
        config.num_ids,
        config.embed_dim,
        embedding_init=nnx.initializers.normal(0.05),
        rngs=rngs,
    )
    width = config.num_columns * config.embed_dim + config.num_dense
    if config.vector_dim:
      # Vectors of language models differ in scale: one rate for all.
      self.vector_norm = nnx.LayerNorm(
          config.vector_dim, epsilon=1e-6, rngs=rngs
      )
      self.project = Linear(
          config.vector_dim,
          config.vector_width,
          dtype=jnp.dtype("float32"),
          rngs=rngs,
      )
      width += config.vector_width
    self.dropout = Dropout(config.dropout_rate)
    self.experts = _make_experts(config, width, rngs)
    towers = config.num_towers
    self.towers = StackedMlp(
        towers,
        config.hidden[-1],
        config.tower,
        dropout_rate=config.dropout_rate,
        rngs=rngs,
    )
    last = config.tower[-1] if config.tower else config.hidden[-1]
    self.out = nnx.Param(
        nnx.initializers.lecun_normal(batch_axis=0)(
            rngs.params(), (towers, last, 1), jnp.float32
        )
    )
    self.bias = nnx.Param(jnp.zeros((towers,)))

  def __call__(
      self,
      batch: Mapping[str, jax.Array],
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """Logits of each row.

    Args:
      batch: `ids` [batch, columns] int32 rows of the table, `dense` [batch,
        num_dense], `domain` [batch] int32 with -1 for one that was not
        trained, and `vector` [batch, vector_dim] if there is a language model.
      deterministic: no dropout.
      rngs: stream `dropout`, for training.

    Returns:
      [batch, 2] float32: by the tower of the row's domain, and by the general
      tower, which is also the first where the domain is -1. Without a general
      tower [batch, 1]; a domain of -1 then gets the mean over the towers.
    """
    options: Any = dict(deterministic=deterministic, rngs=rngs)
    embedded = self.table(batch["ids"])
    parts = [embedded.reshape(len(embedded), -1), batch["dense"]]
    gate = None
    if self.config.vector_dim:
      vector = self.project(self.vector_norm(batch["vector"]))
      parts.append(vector)
      gate = vector if self.config.gate_input == "language" else None
    x = self.dropout(jnp.concatenate(parts, -1), **options)
    logits = self._towers(x, gate, options)
    if self.config.structure == "single":
      logits = jnp.repeat(logits, 1 + self.config.general_tower, 1)
      return logits
    domain = batch["domain"]
    own = jnp.take_along_axis(logits, jnp.maximum(domain, 0)[:, None], 1)
    unseen = (domain < 0)[:, None]
    if not self.config.general_tower:
      return jnp.where(unseen, logits.mean(1, keepdims=True), own)
    general = logits[:, -1:]
    return jnp.concatenate([jnp.where(unseen, general, own), general], 1)

  def _towers(
      self, x: jax.Array, gate: jax.Array | None, options: Any
  ) -> jax.Array:
    """[batch, inputs] -> [batch, towers]."""
    if isinstance(self.experts, StackedMlp):
      hidden = self.experts(x, **options)
    else:
      hidden = self.experts(x, gate, **options)
    hidden = self.towers(hidden, **options)
    logits = jnp.einsum("bth,tho->bto", hidden, self.out[...])
    return logits[..., 0] + self.bias[...]


def _make_experts(
    config: DomainConfig, width: int, rngs: nnx.Rngs
) -> StackedMlp | Mmoe | Ple:
  towers = config.num_towers
  shared: Any = dict(
      hidden=config.hidden, dropout_rate=config.dropout_rate, rngs=rngs
  )
  if config.structure in ("single", "separate"):
    return StackedMlp(towers, width, **shared)
  reads = config.vector_dim > 0 and config.gate_input == "language"
  shared["gate_inputs"] = config.vector_width if reads else 0
  if config.structure == "mmoe":
    return Mmoe(width, towers, num_experts=config.num_experts, **shared)
  return Ple(
      width,
      towers,
      num_layers=config.num_layers if config.structure == "ple" else 1,
      own_experts=config.own_experts,
      shared_experts=config.shared_experts,
      **shared,
  )
