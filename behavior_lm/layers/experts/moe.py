"""A mixture of experts: a sigmoid router, experts, and a shared expert.

After DeepSeekMoE (arXiv 2401.06066) and DeepSeek-V3 (arXiv 2412.19437): scores
are s = sigmoid(W x) in float32; each token goes to the k experts that its
balance rule selects; their outputs are weighted by their s, divided by the sum
of the chosen; the shared expert is added as it is.
"""

import dataclasses
from typing import NamedTuple

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.dropout import Dropout
from behavior_lm.layers.experts.balance import Balance
from behavior_lm.layers.experts.blocks import block_product
from behavior_lm.layers.experts.blocks import from_blocks
from behavior_lm.layers.experts.blocks import plan_blocks
from behavior_lm.layers.experts.blocks import to_blocks
from behavior_lm.layers.linear import KERNEL_INIT
from behavior_lm.layers.linear import Linear

GATES = ("scores", "affinity")
_EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class MoEConfig:
  """Sizes of a mixture of experts.

  Attributes:
    num_experts: that tokens are routed to.
    top_k: experts of a token.
    mlp_dim: width inside each expert.
    shared: one more expert that all tokens go to.
    balance: one of `expert_balance.BALANCES`.
    balance_rate, balance_period: see `expert_balance.Balance`.
    gates: outputs are weighted by the "scores", or by the "affinity" that
      experts are selected by.
    scale: factor of the gates.
    dropout_rate: of what each expert adds.
    block_rows: tokens of a block, see `expert_blocks`.
    chunk: blocks of one product, see `expert_blocks.block_product`.
  """

  num_experts: int
  top_k: int = 2
  mlp_dim: int = 256
  shared: bool = True
  balance: str = "bias"
  balance_rate: float = 1e-3
  balance_period: int = 100
  gates: str = "scores"
  scale: float = 1.0
  dropout_rate: float = 0.0
  block_rows: int = 32
  chunk: int = 0


class Routing(NamedTuple):
  """Where tokens go.

  Attributes:
    scores: [..., num_experts] float32.
    chosen: [..., k] int32 experts.
    gates: [..., k] float32.
  """

  scores: jax.Array
  chosen: jax.Array
  gates: jax.Array


class Experts(nnx.Module):
  """Feed-forward nets, each LayerNorm and SwiGLU (arXiv 2002.05202)."""

  def __init__(
      self, number: int, embed_dim: int, mlp_dim: int, *, rngs: nnx.Rngs
  ):
    def kernels(inputs: int, outputs: int) -> nnx.Param:
      keys = jax.random.split(rngs.params(), number)
      shape = (inputs, outputs)
      return nnx.Param(
          jax.vmap(lambda key: KERNEL_INIT(key, shape, jnp.float32))(keys)
      )

    self.norm_scale = nnx.Param(jnp.ones((number, embed_dim)))
    self.norm_bias = nnx.Param(jnp.zeros((number, embed_dim)))
    self.kernel_in = kernels(embed_dim, 2 * mlp_dim)
    self.kernel_out = kernels(mlp_dim, embed_dim)

  def __call__(
      self, blocks: jax.Array, experts: jax.Array, chunk: int
  ) -> jax.Array:
    """[num_blocks, rows, embed_dim], the expert of each block -> the same."""
    x = normalise(blocks)
    scale, bias = self.norm_scale[...], self.norm_bias[...]
    x = x * scale[experts][:, None] + bias[experts][:, None]
    x = x.astype(blocks.dtype)
    x = block_product(x, self.kernel_in[...], experts, chunk)
    x, gate = jnp.split(x, 2, -1)
    x = jax.nn.silu(x) * gate
    return block_product(x, self.kernel_out[...], experts, chunk)

  def dense(self, x: jax.Array) -> jax.Array:
    """[n, embed_dim] -> [num_experts, n, embed_dim]: every token by all.

    The reference that `__call__` is compared with, and too slow for use.
    """
    x = normalise(x) * self.norm_scale[...][:, None]
    x = (x + self.norm_bias[...][:, None]).astype(x.dtype)
    x = jnp.einsum("eni,eio->eno", x, self.kernel_in[...])
    x, gate = jnp.split(x, 2, -1)
    return jnp.einsum(
        "eni,eio->eno", jax.nn.silu(x) * gate, self.kernel_out[...]
    )


class SharedExpert(nnx.Module):
  """The expert that all tokens go to."""

  def __init__(
      self,
      embed_dim: int,
      mlp_dim: int,
      *,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    self.norm = nnx.LayerNorm(
        embed_dim, epsilon=_EPSILON, dtype=dtype, rngs=rngs
    )
    make = lambda a, b: Linear(a, b, use_bias=False, dtype=dtype, rngs=rngs)
    self.mlp_in = make(embed_dim, 2 * mlp_dim)
    self.mlp_out = make(mlp_dim, embed_dim)

  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., embed_dim] -> the same."""
    x, gate = jnp.split(self.mlp_in(self.norm(x)), 2, -1)
    return self.mlp_out(jax.nn.silu(x) * gate)


class MoE(nnx.Module):
  """A mixture of experts in the place of a feed-forward net.

  Args:
    embed_dim: of the tokens.
    config: sizes.
    dtype: of the computation; the router is float32.
    rngs: for the parameters.

  Raises:
    ValueError: if a setting is unknown, or two do not fit.
  """

  def __init__(
      self,
      embed_dim: int,
      config: MoEConfig,
      *,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    if not 1 <= config.top_k <= config.num_experts:
      raise ValueError(
          f"top_k is {config.top_k} with num_experts {config.num_experts};"
          " give 1 to the number of experts"
      )
    if config.gates not in GATES:
      raise ValueError(f"gates {config.gates!r}; known are {', '.join(GATES)}")
    if config.block_rows < 1 or config.chunk < 0:
      raise ValueError(
          f"block_rows is {config.block_rows} and chunk is {config.chunk};"
          " give at least 1 and 0"
      )
    self.config = config
    self.dtype = dtype
    self.router = nnx.Param(
        KERNEL_INIT(
            rngs.params(), (embed_dim, config.num_experts), jnp.float32
        )
    )
    self.balance = Balance(
        config.balance,
        config.num_experts,
        config.balance_rate,
        config.balance_period,
    )
    self.experts = Experts(
        config.num_experts, embed_dim, config.mlp_dim, rngs=rngs
    )
    self.shared = (
        SharedExpert(embed_dim, config.mlp_dim, dtype=dtype, rngs=rngs)
        if config.shared
        else None
    )
    self.dropout = Dropout(config.dropout_rate)

  def __call__(
      self,
      x: jax.Array,
      routed: jax.Array,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    """What the experts add to tokens; there is no residual.

    Where it is not deterministic, the balance rule takes one step.

    Args:
      x: [..., embed_dim].
      routed: [...] bool; other tokens (padding) go to the shared expert alone
        and are not counted.
      deterministic: no dropout, and no step of the balance rule.
      rngs: stream `dropout`, for training.

    Returns:
      [..., embed_dim].
    """
    return self.apply(
        x,
        routed,
        self.route(x),
        deterministic=deterministic,
        rngs=rngs,
    )

  def route(self, x: jax.Array) -> Routing:
    """Scores in float32, and the experts that are selected."""
    scores = jax.nn.sigmoid(
        jnp.matmul(
            x.astype(jnp.float32), self.router[...], precision="highest"
        )
    )
    affinity = self.balance.affinity(scores)
    _, chosen = jax.lax.top_k(affinity, self.config.top_k)
    # The bias of a rule selects; it must not be among the gates.
    weights = affinity if self.config.gates == "affinity" else scores
    gates = jnp.take_along_axis(weights, chosen, -1)
    gates = gates / (gates.sum(-1, keepdims=True) + 1e-20)
    return Routing(scores, chosen, gates * self.config.scale)

  def apply(
      self,
      x: jax.Array,
      routed: jax.Array,
      routing: Routing,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    """The second half of `__call__`, for what reads the routing, too."""
    config = self.config
    tokens = x.reshape(-1, x.shape[-1]).astype(self.dtype)
    blocks = plan_blocks(
        routing.chosen.reshape(-1, config.top_k),
        routed.reshape(-1),
        config.num_experts,
        config.block_rows,
    )
    y = self.experts(to_blocks(tokens, blocks), blocks.experts, config.chunk)
    y = self._drop(y, deterministic=deterministic, rngs=rngs)
    gates = routing.gates.reshape(-1, config.top_k)
    added = from_blocks(y, gates, blocks).reshape(x.shape)
    if not deterministic:
      self.balance.update(blocks.counts)
    if self.shared is None:
      return added
    shared = self.shared(x.astype(self.dtype))
    return added + self._drop(shared, deterministic=deterministic, rngs=rngs)

  def dense(self, x: jax.Array, routed: jax.Array) -> jax.Array:
    """`__call__` without dropout, by computing every expert for every token.

    The reference of the tests: work grows with the number of experts.
    """
    routing = self.route(x)
    places = jnp.arange(self.config.num_experts)
    chosen = routing.chosen[..., None] == places
    weights = (routing.gates[..., None] * chosen).sum(-2)
    weights = jnp.where(routed[..., None], weights, 0.0)
    flat = x.reshape(-1, x.shape[-1])
    made = self.experts.dense(flat)
    added = jnp.einsum(
        "end,ne->nd", made, weights.reshape(-1, len(places))
    ).reshape(x.shape)
    return added if self.shared is None else added + self.shared(x)

  def _drop(
      self, x: jax.Array, *, deterministic: bool, rngs: nnx.Rngs | None
  ) -> jax.Array:
    return self.dropout(x, deterministic=deterministic, rngs=rngs)


def normalise(x: jax.Array) -> jax.Array:
  """[..., dim] -> float32 of mean 0 and variance 1 in the last axis."""
  x = x.astype(jnp.float32)
  centred = x - x.mean(-1, keepdims=True)
  variance = (centred * centred).mean(-1, keepdims=True)
  return centred * jax.lax.rsqrt(variance + _EPSILON)
