"""The transformer layer of BERT, with its norms after or before."""

from collections.abc import Callable
from typing import Any, Protocol

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.common.rows import take_rows_or_all
from behavior_lm.layers.activations import find_activation
from behavior_lm.layers.dropout import Dropout
from behavior_lm.layers.experts.moe import MoE
from behavior_lm.layers.experts.moe import MoEConfig
from behavior_lm.layers.linear import Linear
from behavior_lm.layers.self_attention import Cache
from behavior_lm.layers.self_attention import SelfAttention

NORM_POSITIONS = ("post", "pre")


class Sizes(Protocol):
  """What a layer asks of a model's config."""

  @property
  def embed_dim(self) -> int: ...
  @property
  def num_heads(self) -> int: ...
  @property
  def mlp_dim(self) -> int: ...
  @property
  def dropout_rate(self) -> float: ...
  @property
  def norm_position(self) -> str: ...
  @property
  def position_encoding(self) -> str: ...
  @property
  def activation(self) -> str: ...


class TransformerLayer(nnx.Module):
  """Attention, then a feed-forward net, each with a residual and a norm.

  "post" is BERT's (arXiv 1810.04805): x = norm(x + attention(x)), x = norm(x +
  mlp(x)). "pre" norms the input of each part instead (arXiv 2002.04745): it
  bears higher learning rates and leaves the first plateau sooner; the model
  then norms the last layer's output once. `gated` is GeGLU (arXiv 2002.05202):
  half of twice the width gates the other half. `residual_gates` are those of
  LiGR (arXiv 2502.03417): what a part adds to x is multiplied by sigmoid(W x)
  of the x that is not normed yet. With `experts`, a mixture of them stands in
  the place of the feed-forward net.
  """

  @classmethod
  def of(
      cls, config: Sizes, spec: AttentionSpec, **options: Any
  ) -> "TransformerLayer":
    """A layer of a model's sizes."""
    return cls(
        config.embed_dim,
        config.num_heads,
        config.mlp_dim,
        spec,
        config.dropout_rate,
        norm_position=config.norm_position,
        rotary=config.position_encoding == "rotary",
        activation=config.activation,
        **options,
    )

  def __init__(
      self,
      embed_dim: int,
      num_heads: int,
      mlp_dim: int,
      spec: AttentionSpec,
      dropout_rate: float,
      *,
      norm_position: str = "post",
      head_dim: int | None = None,
      rotary: bool = False,
      relative_time: str = "none",
      gated: bool = False,
      residual_gates: bool = False,
      activation: str = "gelu",
      experts: MoEConfig | None = None,
      use_bias: bool = True,
      norm_epsilon: float,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    if norm_position not in NORM_POSITIONS:
      raise ValueError(
          f"norm position {norm_position!r}; known are {NORM_POSITIONS}"
      )
    self.pre_norm = norm_position == "pre"
    norm = lambda: nnx.LayerNorm(
        embed_dim,
        epsilon=norm_epsilon,
        use_bias=use_bias,
        dtype=dtype,
        rngs=rngs,
    )
    linear = lambda a, b: Linear(
        a, b, use_bias=use_bias, dtype=dtype, rngs=rngs
    )
    self.gated = gated
    self.activate = find_activation(activation)
    self.attention = SelfAttention(
        embed_dim,
        num_heads,
        spec,
        head_dim=head_dim,
        rotary=rotary,
        relative_time=relative_time,
        use_bias=use_bias,
        dtype=dtype,
        rngs=rngs,
    )
    self.attention_norm = norm()
    make = lambda a, b: linear(a, b) if experts is None else None
    self.mlp_in = make(embed_dim, 2 * mlp_dim if gated else mlp_dim)
    self.mlp_out = make(mlp_dim, embed_dim)
    self.moe = (
        None
        if experts is None
        else MoE(embed_dim, experts, dtype=dtype, rngs=rngs)
    )
    self.mlp_norm = norm()
    gate = lambda: linear(embed_dim, embed_dim) if residual_gates else None
    self.attention_gate, self.mlp_gate = gate(), gate()
    self.dropout = Dropout(dropout_rate)

  def __call__(
      self,
      hidden: jax.Array,
      *,
      segment_ids: jax.Array,
      positions: jax.Array,
      deterministic: bool,
      rngs: nnx.Rngs | None,
      offsets: jax.Array | None = None,
      clock: jax.Array | None = None,
      since: jax.Array | None = None,
  ) -> jax.Array:
    """The states after this layer.

    Args:
      hidden: [batch, length, embed_dim].
      segment_ids, positions: [batch, length] int32.
      deterministic: no dropout.
      rngs: a `dropout` stream; needed when not deterministic.
      offsets: [batch, n] row offsets, if only those states are wanted: all
        tokens are attended to, the rest of the layer is left out elsewhere.
      clock: [batch, length] int32, where attention reads time.
      since: [batch, length] int32, the first position that a token sees.

    Returns:
      [batch, length or n, embed_dim].
    """
    drop = lambda x: self.dropout(x, deterministic=deterministic, rngs=rngs)
    attended = self.attention(
        self.attention_norm(hidden) if self.pre_norm else hidden,
        segment_ids=segment_ids,
        positions=positions,
        offsets=offsets,
        clock=clock,
        since=since,
    )
    routed = take_rows_or_all(segment_ids, offsets) > 0

    def mlp(x: jax.Array) -> jax.Array:
      if self.moe is not None:
        added = self.moe(x, routed, deterministic=deterministic, rngs=rngs)
        return drop(added)
      assert self.mlp_in is not None and self.mlp_out is not None
      return drop(self.mlp_out(self._activate(self.mlp_in(x))))

    return self._join(take_rows_or_all(hidden, offsets), drop(attended), mlp)

  def attention_weights(
      self, hidden: jax.Array, **row: jax.Array
  ) -> jax.Array:
    """See `SelfAttention.weights`."""
    if self.pre_norm:
      hidden = self.attention_norm(hidden)
    return self.attention.weights(hidden, **row)

  @property
  def takes_steps(self) -> bool:
    """Whether `step` serves this layer: its attention does, without experts."""
    return self.moe is None and self.attention.takes_steps

  def step(
      self, hidden: jax.Array, cache: Cache, place: jax.Array
  ) -> tuple[jax.Array, Cache]:
    """One more token, see `SelfAttention.step`."""
    if not self.takes_steps:
      raise ValueError("this layer does not take tokens one by one")
    attended, cache = self.attention.step(
        self.attention_norm(hidden) if self.pre_norm else hidden, cache, place
    )
    assert self.mlp_in is not None and self.mlp_out is not None
    mlp_in, mlp_out = self.mlp_in, self.mlp_out
    mlp = lambda x: mlp_out(self._activate(mlp_in(x)))
    return self._join(hidden, attended, mlp), cache

  def _join(
      self,
      before: jax.Array,
      attended: jax.Array,
      mlp: Callable[[jax.Array], jax.Array],
  ) -> jax.Array:
    """The residuals around attention and feed-forward net, and their norms."""
    hidden = before + _gate(self.attention_gate, before, attended)
    if self.pre_norm:
      return hidden + _gate(self.mlp_gate, hidden, mlp(self.mlp_norm(hidden)))
    hidden = self.attention_norm(hidden)
    return self.mlp_norm(hidden + _gate(self.mlp_gate, hidden, mlp(hidden)))

  def _activate(self, x: jax.Array) -> jax.Array:
    if not self.gated:
      return self.activate(x)
    x, gate = jnp.split(x, 2, -1)
    return self.activate(x) * gate


def _gate(gate: Linear | None, x: jax.Array, added: jax.Array) -> jax.Array:
  return added if gate is None else jax.nn.sigmoid(gate(x)) * added
