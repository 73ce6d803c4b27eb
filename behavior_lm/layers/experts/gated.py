"""Experts that towers share: MMoE, CGC and PLE.

A tower is what predicts for one task, or here for one domain. All its inputs
are mixtures of experts, weighted by a gate of its own:

  MMoE (KDD 2018)       every expert serves every tower
  CGC (RecSys 2020)     shared experts, and some that serve one tower alone
  PLE (RecSys 2020)     CGC upon CGC; between two of them a gate over all
                        experts makes what the shared ones read
"""

from collections.abc import Sequence
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.dropout import Dropout

_INIT = nnx.initializers.lecun_normal(batch_axis=0)


class StackedMlp(nnx.Module):
  """Several small networks of one shape, computed together.

  Args:
    count: networks.
    inputs: width of what they read.
    hidden: widths of their layers, each with a ReLU behind it.
    dropout_rate: behind each layer.
    rngs: for the parameters.
  """

  def __init__(
      self,
      count: int,
      inputs: int,
      hidden: Sequence[int],
      *,
      dropout_rate: float = 0.0,
      rngs: nnx.Rngs,
  ):
    widths = [inputs, *hidden]
    self.kernels = nnx.List([
        nnx.Param(_INIT(rngs.params(), (count, a, b), jnp.float32))
        for a, b in zip(widths[:-1], widths[1:], strict=True)
    ])
    self.biases = nnx.List(
        [nnx.Param(jnp.zeros((count, width))) for width in hidden]
    )
    self.dropout = Dropout(dropout_rate)

  def __call__(
      self,
      x: jax.Array,
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """[batch, inputs], or [batch, count, inputs], -> [batch, count, hidden]."""
    if x.ndim == 2:
      x = jnp.broadcast_to(
          x[:, None], (len(x), self.kernels[0].shape[0], x.shape[-1])
      )
    for kernel, bias in zip(self.kernels, self.biases, strict=True):
      x = jnp.einsum("bni,nio->bno", x, kernel[...]) + bias[...]
      x = self.dropout(
          jax.nn.relu(x), deterministic=deterministic, rngs=rngs
      )
    return x


class Gates(nnx.Module):
  """softmax(W x) over experts, for each of several towers; no bias."""

  def __init__(
      self, count: int, inputs: int, num_experts: int, *, rngs: nnx.Rngs
  ):
    shape = (count, inputs, num_experts)
    self.kernel = nnx.Param(_INIT(rngs.params(), shape, jnp.float32))

  def __call__(self, x: jax.Array) -> jax.Array:
    """[batch, inputs] or [batch, count, inputs] -> [batch, count, experts]."""
    formula = "bi,nie->bne" if x.ndim == 2 else "bni,nie->bne"
    return jax.nn.softmax(jnp.einsum(formula, x, self.kernel[...]), -1)


class Mmoe(nnx.Module):
  """`sum_e softmax(G_t g)_e E_e(x)` for each tower t.

  Args:
    inputs: width of x.
    num_towers: gates.
    num_experts: of all towers.
    hidden: widths of an expert.
    gate_inputs: width of what gates read beside x.
    dropout_rate: in experts.
    rngs: for the parameters.
  """

  def __init__(
      self,
      inputs: int,
      num_towers: int,
      *,
      num_experts: int,
      hidden: Sequence[int],
      gate_inputs: int = 0,
      dropout_rate: float = 0.0,
      rngs: nnx.Rngs,
  ):
    self.experts = StackedMlp(
        num_experts, inputs, hidden, dropout_rate=dropout_rate, rngs=rngs
    )
    self.gates = Gates(
        num_towers, inputs + gate_inputs, num_experts, rngs=rngs
    )

  def __call__(
      self,
      x: jax.Array,
      gate: jax.Array | None = None,
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """[batch, inputs], [batch, gate_inputs] -> [batch, towers, hidden]."""
    experts = self.experts(x, deterministic=deterministic, rngs=rngs)
    weights = self.gates(_beside(x, gate))
    return jnp.einsum("bte,beh->bth", weights, experts)


class Cgc(nnx.Module):
  """One layer of customised gate control.

  Args:
    inputs: width of what experts read.
    num_towers: towers.
    own_experts: that serve one tower, per tower.
    shared_experts: that serve all; 0 makes a network per tower.
    hidden: widths of an expert.
    gate_inputs: width of what gates read beside the experts' input.
    is_last: no layer follows, so that there is no gate over all experts.
    dropout_rate: in experts.
    rngs: for the parameters.

  Raises:
    ValueError: if a tower would have no expert, or a layer could not follow.
  """

  def __init__(
      self,
      inputs: int,
      num_towers: int,
      *,
      own_experts: int,
      shared_experts: int,
      hidden: Sequence[int],
      gate_inputs: int = 0,
      is_last: bool = True,
      dropout_rate: float = 0.0,
      rngs: nnx.Rngs,
  ):
    if min(own_experts, shared_experts) < 0 or not own_experts + shared_experts:
      raise ValueError(
          f"{own_experts} experts of a tower and {shared_experts} shared ones:"
          " give at least one"
      )
    if not is_last and not shared_experts:
      raise ValueError("a stack of layers needs shared experts")
    self.num_towers = num_towers
    self.own_experts = own_experts
    make = lambda count: StackedMlp(
        count, inputs, hidden, dropout_rate=dropout_rate, rngs=rngs
    )
    own = num_towers * own_experts
    self.own = make(own) if own else None
    self.shared = make(shared_experts) if shared_experts else None
    width = inputs + gate_inputs
    self.gates = Gates(
        num_towers, width, own_experts + shared_experts, rngs=rngs
    )
    self.shared_gate = (
        None if is_last else Gates(1, width, own + shared_experts, rngs=rngs)
    )

  def __call__(
      self,
      towers: jax.Array,
      shared: jax.Array,
      gate: jax.Array | None = None,
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> tuple[jax.Array, jax.Array | None]:
    """What towers and shared experts of the next layer read.

    Args:
      towers: [batch, towers, inputs], of each tower's own experts.
      shared: [batch, inputs], of the shared experts.
      gate: [batch, gate_inputs], what all gates read too.
      deterministic: no dropout.
      rngs: stream `dropout`, for training.

    Returns:
      [batch, towers, hidden]; [batch, hidden], or None in the last layer.
    """
    options: Any = dict(deterministic=deterministic, rngs=rngs)
    weights = self.gates(_beside(towers, gate))
    mixed, all_experts = jnp.zeros(()), []
    if self.own is not None:
      own = self.own(jnp.repeat(towers, self.own_experts, 1), **options)
      all_experts.append(own)
      grouped = own.reshape(*towers.shape[:2], self.own_experts, -1)
      mixed += jnp.einsum(
          "bte,bteh->bth", weights[..., : self.own_experts], grouped
      )
    if self.shared is not None:
      common = self.shared(shared, **options)
      all_experts.append(common)
      mixed += jnp.einsum(
          "bte,beh->bth", weights[..., self.own_experts :], common
      )
    if self.shared_gate is None:
      return mixed, None
    weights = self.shared_gate(_beside(shared, gate))[:, 0]
    return mixed, jnp.einsum(
        "be,beh->bh", weights, jnp.concatenate(all_experts, 1)
    )


class Ple(nnx.Module):
  """Progressive layered extraction: so many CGC layers.

  Args:
    inputs: width of x.
    num_towers: towers.
    num_layers: 1 is CGC.
    own_experts, shared_experts, hidden, gate_inputs, dropout_rate: see `Cgc`.
    rngs: for the parameters.
  """

  def __init__(
      self,
      inputs: int,
      num_towers: int,
      *,
      num_layers: int,
      own_experts: int,
      shared_experts: int,
      hidden: Sequence[int],
      gate_inputs: int = 0,
      dropout_rate: float = 0.0,
      rngs: nnx.Rngs,
  ):
    if num_layers < 1:
      raise ValueError(f"{num_layers} layers of experts; give at least 1")
    self.num_towers = num_towers
    self.layers = nnx.List([
        Cgc(
            hidden[-1] if number else inputs,
            num_towers,
            own_experts=own_experts,
            shared_experts=shared_experts,
            hidden=hidden,
            gate_inputs=gate_inputs,
            is_last=number == num_layers - 1,
            dropout_rate=dropout_rate,
            rngs=rngs,
        )
        for number in range(num_layers)
    ])

  def __call__(
      self,
      x: jax.Array,
      gate: jax.Array | None = None,
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """[batch, inputs], [batch, gate_inputs] -> [batch, towers, hidden]."""
    towers = jnp.broadcast_to(
        x[:, None], (len(x), self.num_towers, x.shape[-1])
    )
    shared = x
    for layer in self.layers:
      towers, following = layer(
          towers, shared, gate, deterministic=deterministic, rngs=rngs
      )
      shared = shared if following is None else following
    return towers


def _beside(x: jax.Array, gate: jax.Array | None) -> jax.Array:
  """[batch, (towers,) inputs] with [batch, gate_inputs] beside it."""
  if gate is None:
    return x
  if x.ndim == 3:
    gate = jnp.broadcast_to(
        gate[:, None], (*x.shape[:2], gate.shape[-1])
    )
  return jnp.concatenate([x, gate], -1)
