"""The linear layer."""

from typing import Any

from flax import nnx
import jax
from jax.ad_checkpoint import checkpoint_name
import jax.numpy as jnp

from behavior_lm.common.layout import transposed

# BERT's 0.02 suits its width of 768. By the fan-in it suits every width: at
# 128, kernels of 0.02 leave attention flat for hundreds of steps.
KERNEL_INIT = nnx.initializers.lecun_normal()

# What results of linear layers are called where a remat policy asks: their own
# gradient hides the product from it.
PRODUCT = "product"


class Linear(nnx.Module):
  """x @ kernel + bias.

  Parameters and their gradients are float32, products of `dtype`.
  """

  def __init__(
      self,
      in_features: int,
      out_features: int,
      *,
      use_bias: bool = True,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    self.dtype = dtype
    self.kernel = nnx.Param(
        KERNEL_INIT(rngs.params(), (in_features, out_features), jnp.float32)
    )
    self.bias = nnx.Param(jnp.zeros((out_features,))) if use_bias else None

  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., in_features] -> [..., out_features] of `dtype`."""
    return self.some(x, slice(None))

  def some(self, x: jax.Array, outputs: slice) -> jax.Array:
    """`self(x)[..., outputs]`, without the rest."""
    bias = None if self.bias is None else self.bias[outputs]
    out = linear(x.astype(self.dtype), self.kernel[:, outputs], bias)
    return checkpoint_name(out, PRODUCT)


@jax.custom_vjp
def linear(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None
) -> jax.Array:
  """x @ kernel + bias in the type of x; gradients are summed in float32.

  Args:
    x: [..., in_features].
    kernel: [in_features, out_features] float32.
    bias: [out_features] float32, or None.

  Returns:
    [..., out_features].
  """
  out = x @ kernel.astype(x.dtype)
  return out if bias is None else out + bias.astype(x.dtype)


def _forward(
    x: jax.Array, kernel: jax.Array, bias: jax.Array | None
) -> tuple[jax.Array, Any]:
  return linear(x, kernel, bias), (x, kernel, bias)


def _backward(
    kept: Any, g: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array | None]:
  x, kernel, bias = kept
  d_x = jnp.einsum("...o,io->...i", g, kernel.astype(x.dtype))
  x, g = (y.reshape(-1, y.shape[-1]) for y in (x, g))
  d_bias = None if bias is None else g.sum(0, dtype=bias.dtype)
  return d_x, _kernel_gradient(x, g, kernel.dtype), d_bias


linear.defvjp(_forward, _backward)


def _kernel_gradient(
    x: jax.Array, g: jax.Array, dtype: jnp.dtype
) -> jax.Array:
  """x^T @ g of [tokens, in_features] and [tokens, out_features]."""
  product = lambda left, right: jnp.matmul(
      left, right, preferred_element_type=dtype
  )
  if x.dtype == dtype:
    # In float32 the copy costs as much as it gains.
    return product(x.T, g)
  # The narrower of the two is turned, see `behavior_lm.common.layout`. The
  # barrier keeps XLA from moving the last transpose into the product.
  if x.shape[1] <= g.shape[1]:
    return product(transposed(x), g)
  return jax.lax.optimization_barrier(product(transposed(g), x)).T
