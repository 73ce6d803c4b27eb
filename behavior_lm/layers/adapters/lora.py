"""Low-rank updates of linear layers (LoRA, arXiv 2106.09685)."""

from collections.abc import Iterator
import re
from typing import Any

from flax import nnx
import jax
from jax.ad_checkpoint import checkpoint_name
import jax.numpy as jnp

from behavior_lm.layers.dropout import drop
from behavior_lm.layers.dropout import Dropout
from behavior_lm.layers.linear import Linear
from behavior_lm.layers.linear import linear
from behavior_lm.layers.linear import PRODUCT

# Parameters of adapters, whose paths no pretrained run has.
PATTERN = r"lora_[ab]$"
# Parts of the fused projection, in the order of its outputs.
_QKV = ("query", "key", "value")


class LoraLinear(Linear):
  """y = W x + b + (alpha / rank) B A drop(x).

  A is born as Kaiming uniform, B as 0, so that nothing changes at first. The
  weights stay where they were, at `kernel` and `bias`: a pretrained run is
  restored into them, and `merge` leaves the layer that it was.

  Args:
    base: the layer, whose parameters are taken over.
    rank: numbers between A and B.
    alpha: the update is scaled by alpha / rank.
    dropout_rate: of what A reads.
    parts: outputs that have an update of their own, A and B each, as
      (part, of how many equal parts): ((0, 3), (2, 3)) are the query and the
      value of a fused projection. Empty is one update of all outputs.
    rngs: for A.
  """

  def __init__(
      self,
      base: Linear,
      rank: int,
      *,
      alpha: float,
      dropout_rate: float = 0.0,
      parts: tuple[tuple[int, int], ...] = (),
      rngs: nnx.Rngs,
  ):
    inputs, outputs = base.kernel.shape
    self.parts = tuple(parts)
    width = outputs // parts[0][1] if parts else outputs
    if not 0 < rank <= min(inputs, width):
      raise ValueError(
          f"rank {rank} of a layer with {inputs} inputs and {width} outputs:"
          " choose at least 1 and no more than these"
      )
    Dropout(dropout_rate)  # Checks the rate.
    self.dtype = base.dtype
    self.kernel = base.kernel
    self.bias = base.bias
    # Kaiming uniform with a slope of sqrt(5), as the authors' code: bounds of
    # 1 / sqrt(inputs), a variance of 1 / (3 inputs).
    born = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
    # Those of several parts stand side by side.
    ranks = rank * max(len(parts), 1)
    self.lora_a = nnx.Param(born(rngs.params(), (inputs, ranks), jnp.float32))
    self.lora_b = nnx.Param(jnp.zeros((ranks, width)))
    self.scale = alpha / rank
    self.dropout_rate = dropout_rate
    # Of one call, see `dropping`; layers are called without random keys.
    self.dropout_key: jax.Array | None = nnx.data(None)

  def some(self, x: jax.Array, outputs: slice) -> jax.Array:
    """See `Linear.some`."""
    out = super().some(x, outputs)
    x = x.astype(self.dtype)
    if self.dropout_key is not None:
      x = drop(x, self.dropout_rate, self.dropout_key)
    low = linear(x, self.lora_a[...], None)
    update = linear(low, self._whole_b()[:, outputs], None)
    return checkpoint_name(out + self.scale * update, PRODUCT)

  def _whole_b(self) -> jax.Array:
    """B of all outputs: 0 where a part has none."""
    b = self.lora_b[...]
    if not self.parts:
      return b
    width = b.shape[1]
    return jnp.concatenate([
        jnp.pad(one, ((0, 0), (part * width, (of - part - 1) * width)))
        for one, (part, of) in zip(
            jnp.split(b, len(self.parts)), self.parts, strict=True
        )
    ])

  def merge(self) -> Linear:
    """The plain layer with kernel W + (alpha / rank) A B."""
    inputs, outputs = self.kernel.shape
    # Its parameters are replaced: what they are born as does not matter.
    plain = Linear(
        inputs,
        outputs,
        use_bias=self.bias is not None,
        dtype=self.dtype,
        rngs=nnx.Rngs(0),
    )
    update = jnp.matmul(self.lora_a[...], self._whole_b())
    plain.kernel = nnx.Param(self.kernel[...] + self.scale * update)
    plain.bias = self.bias
    return plain


def add_lora(
    encoder: nnx.Module,
    targets: str,
    rank: int,
    *,
    alpha: float,
    dropout_rate: float = 0.0,
    rngs: nnx.Rngs,
) -> None:
  """Gives linear layers of an encoder low-rank updates.

  Args:
    encoder: is changed.
    targets: regular expression; layers that it is found in the name of, which
      is qkv, out, mlp_in or mlp_out. Parts of qkv are called query, key and
      value: "query|value" is what the paper adapts.
    rank, alpha, dropout_rate, rngs: see `LoraLinear`.

  Raises:
    ValueError: if no layer has such a name.
  """
  found = 0
  for owner, name, layer in list(_linears(encoder)):
    parts = _parts_of(name, targets)
    if parts or re.search(targets, name):
      made = LoraLinear(
          layer,
          rank,
          alpha=alpha,
          dropout_rate=dropout_rate,
          parts=parts,
          rngs=rngs,
      )
      setattr(owner, name, made)
      found += 1
  if not found:
    names = sorted({name for _, name, _ in _linears(encoder)} | {*_QKV})
    raise ValueError(
        f"LoRA targets {targets!r}: no linear layer has such a name; there are"
        f" {', '.join(names)}"
    )


def _parts_of(name: str, targets: str) -> tuple[tuple[int, int], ...]:
  if name != "qkv" or re.search(targets, name):
    return ()
  return tuple(
      (place, len(_QKV))
      for place, part in enumerate(_QKV)
      if re.search(targets, part)
  )


def merge_lora(encoder: nnx.Module) -> None:
  """Leaves the encoder that computes the same without adapters."""
  for owner, name, layer in list(_linears(encoder)):
    if isinstance(layer, LoraLinear):
      setattr(owner, name, layer.merge())


def set_dropout_keys(encoder: nnx.Module, key: jax.Array | None) -> None:
  """Gives each adapter a random key for one call; None takes them away.

  Take them away after the call: variables of a model are the same before and
  after a step.
  """
  for number, (_, _, layer) in enumerate(_linears(encoder)):
    if isinstance(layer, LoraLinear) and layer.dropout_rate:
      layer.dropout_key = nnx.data(
          None if key is None else jax.random.fold_in(key, number)
      )


def _linears(encoder: Any) -> Iterator[tuple[Any, str, Linear]]:
  """(owner, attribute, layer) of the linear layers in the stack, in order."""
  for layer in encoder.layers:
    for _, owner in nnx.iter_graph(layer):
      if isinstance(owner, nnx.Module) and not isinstance(owner, Linear):
        for name, value in sorted(vars(owner).items()):
          if isinstance(value, Linear):
            yield owner, name, value
