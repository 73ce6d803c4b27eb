import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from behavior_lm.layers.activations import ACTIVATIONS

X = np.concatenate([np.linspace(-12, 12, 4001), [0.0, -100.0, 100.0]])


def exact(name, x):
  """In float64."""
  if name == "gelu":
    return x * scipy.special.ndtr(x)
  if name == "silu":
    return x * scipy.special.expit(x)
  if name == "relu":
    return np.maximum(x, 0)
  return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def slope(name, x, step=1e-5):
  return (exact(name, x + step) - exact(name, x - step)) / (2 * step)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_values_and_slopes_in_float32(name):
  # The slope of relu at 0 is a choice.
  points = X[X != 0] if name == "relu" else X
  x = jnp.asarray(points, jnp.float32)
  run = jax.jit(lambda x: jax.vjp(ACTIVATIONS[name], x)[1](jnp.ones_like(x)))
  found = ACTIVATIONS[name](x)
  np.testing.assert_allclose(found, exact(name, points), atol=2e-6)
  np.testing.assert_allclose(run(x)[0], slope(name, points), atol=1e-5)


# That of SwiGLU is jax's own, which rounds in between.
@pytest.mark.parametrize("name", ["gelu", "gelu_tanh"])
def test_bfloat16_is_rounded_once(name):
  x = jnp.asarray(X, jnp.bfloat16)
  out, pull = jax.vjp(ACTIVATIONS[name], x)
  (grad,) = pull(jnp.ones_like(x))
  assert out.dtype == grad.dtype == jnp.bfloat16
  wide = np.asarray(x, np.float64)
  np.testing.assert_allclose(
      out.astype(jnp.float32), exact(name, wide), rtol=2**-8, atol=1e-6
  )
  np.testing.assert_allclose(
      grad.astype(jnp.float32), slope(name, wide), rtol=2**-8, atol=1e-5
  )


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_they_are_those_of_jax(name):
  x = jnp.linspace(-6, 6, 1001)
  theirs = {
      "gelu": lambda x: jax.nn.gelu(x, approximate=False),
      "gelu_tanh": jax.nn.gelu,
      "silu": jax.nn.silu,
      "relu": jax.nn.relu,
  }
  want = theirs[name](x)
  np.testing.assert_allclose(ACTIVATIONS[name](x), want, atol=1e-6)
