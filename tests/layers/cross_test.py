"""Crosses equal their formulas."""

from flax import nnx
import jax
import numpy as np

from behavior_lm.layers.cross import CrossNetwork
from behavior_lm.layers.cross import pairwise_products


def test_crosses_equal_the_formula():
  net = CrossNetwork(5, 2, rngs=nnx.Rngs(0))
  x0 = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
  x = x0
  for layer in net.layers:
    layer.bias[...] = layer.bias[...] + 0.3
    x = x0 * (x @ np.asarray(layer.kernel[...]) + 0.3) + x
  np.testing.assert_allclose(jax.jit(net)(x0), x, rtol=1e-5, atol=1e-5)


def test_products_are_those_of_all_pairs():
  v = np.random.default_rng(0).normal(size=(2, 4, 3))
  want = sum(v[:, i] * v[:, j] for i in range(4) for j in range(i))
  np.testing.assert_allclose(pairwise_products(v), want, atol=1e-12)
