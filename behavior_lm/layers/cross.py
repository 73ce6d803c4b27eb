"""Crosses of features: DCN v2 and the sum of products of vectors."""

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.linear import Linear


class CrossNetwork(nnx.Module):
  """Full-rank crosses of DCN v2 (arXiv 2008.13535), equation 1.

    x_{l+1} = x_0 * (W_l x_l + b_l) + x_l

  so that layer l holds products of up to l + 1 features.

  Args:
    width: of the input.
    num_layers: crosses.
    rngs: for the parameters.
  """

  def __init__(self, width: int, num_layers: int, *, rngs: nnx.Rngs):
    make = lambda: Linear(
        width, width, dtype=jnp.dtype("float32"), rngs=rngs
    )
    self.layers = nnx.List([make() for _ in range(num_layers)])

  def __call__(self, x: jax.Array) -> jax.Array:
    """[..., width] -> [..., width]."""
    first = x
    for layer in self.layers:
      x = first * layer(x) + x
    return x


def pairwise_products(vectors: jax.Array) -> jax.Array:
  """The sum over pairs of vectors of their product, coordinate by coordinate.

  The interaction of a factorisation machine (Rendle 2010, equation 5) before
  its last sum: 0.5 ((sum_i v_i)^2 - sum_i v_i^2).

  Args:
    vectors: [..., features, dim].

  Returns:
    [..., dim].
  """
  return 0.5 * (vectors.sum(-2) ** 2 - (vectors**2).sum(-2))
