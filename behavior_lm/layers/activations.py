"""Activations that keep their input alone for the gradient.

Computed in float32 whatever the input's type, one pass over the memory each
way; the derivatives are written out.
"""

from collections.abc import Callable
import math

import jax
import jax.numpy as jnp

_TANH_SCALE = math.sqrt(2 / math.pi)
_TANH_CUBE = 0.044715


@jax.custom_vjp
def gelu(x: jax.Array) -> jax.Array:
  """x times the normal distribution function of x (arXiv 1606.08415)."""
  z = x.astype(jnp.float32)
  return (z * _normal_cdf(z)).astype(x.dtype)


def _gelu_slope(x: jax.Array, g: jax.Array) -> tuple[jax.Array]:
  z = x.astype(jnp.float32)
  density = jnp.exp(-0.5 * z * z) * (1 / math.sqrt(2 * math.pi))
  return ((g * (_normal_cdf(z) + z * density)).astype(x.dtype),)


gelu.defvjp(lambda x: (gelu(x), x), _gelu_slope)


def _normal_cdf(z: jax.Array) -> jax.Array:
  # 1 + erf is off by 1e-8 where it is near 0; jax.nn.gelu's erfc is exact
  # there and takes twice the time.
  return 0.5 + 0.5 * jax.lax.erf(z * math.sqrt(0.5))


@jax.custom_vjp
def gelu_tanh(x: jax.Array) -> jax.Array:
  """The approximation of `gelu` by a tanh, section 2 of the same paper."""
  z = x.astype(jnp.float32)
  return (0.5 * z * (1 + _bent(z))).astype(x.dtype)


def _gelu_tanh_slope(x: jax.Array, g: jax.Array) -> tuple[jax.Array]:
  z = x.astype(jnp.float32)
  bent = _bent(z)
  inner = _TANH_SCALE * (1 + 3 * _TANH_CUBE * z * z)
  slope = 0.5 * (1 + bent) + 0.5 * z * (1 - bent * bent) * inner
  return ((g * slope).astype(x.dtype),)


gelu_tanh.defvjp(lambda x: (gelu_tanh(x), x), _gelu_tanh_slope)


def _bent(z: jax.Array) -> jax.Array:
  return jnp.tanh(_TANH_SCALE * (z + _TANH_CUBE * z * z * z))


# "gelu" is BERT's, "gelu_tanh" ALBERT's, "silu" that of SwiGLU, "relu" that of
# TransAct.
ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "silu": jax.nn.silu,
    "relu": jax.nn.relu,
}


def find_activation(name: str) -> Callable[[jax.Array], jax.Array]:
  """The activation of a name.

  Raises:
    ValueError: if there is none.
  """
  if name not in ACTIVATIONS:
    raise ValueError(f"activation {name!r}; known are {sorted(ACTIVATIONS)}")
  return ACTIVATIONS[name]
