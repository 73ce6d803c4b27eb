from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.layers.linear import Linear
from behavior_lm.layers.linear import linear


def draw(*shapes):
  rng = np.random.default_rng(0)
  return [jnp.asarray(rng.standard_normal(x), jnp.float32) for x in shapes]


@pytest.mark.parametrize("sizes", [(3, 7), (7, 3), (5, 5), (64, 200)])
@pytest.mark.parametrize("lead", [(4,), (2, 3), (2, 40)])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    ("dtype", "rtol"), [(jnp.float32, 1e-5), (jnp.bfloat16, 0.03)]
)
def test_values_and_gradients_are_those_of_the_formula(
    sizes, lead, use_bias, dtype, rtol
):
  x, kernel, bias, g = draw(
      (*lead, sizes[0]), sizes, sizes[1:], (*lead, sizes[1])
  )
  if not use_bias:
    bias = None
  plain = lambda x, kernel, bias: (
      jnp.einsum("...i,io->...o", x, kernel) + (0 if bias is None else bias)
  )

  def both(run, x, g):
    out, pull = jax.vjp(run, x, kernel, bias)
    return out, pull(g)

  got = jax.jit(lambda x, g: both(linear, x, g))(
      x.astype(dtype), g.astype(dtype)
  )
  want = jax.jit(lambda x, g: both(plain, x, g))(x, g)
  # Operands in bfloat16 are off by 0.4 % each; sums of them by little more.
  scale = lambda b: rtol * float(jnp.abs(b).max()) + 1e-6
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(
          a.astype(jnp.float32), b, atol=scale(b)
      ),
      got,
      want,
  )
  out, (d_x, d_kernel, d_bias) = got
  assert out.dtype == d_x.dtype == dtype
  # Parameters take float32 gradients, which no rounding to 8 bits spoils.
  assert d_kernel.dtype == jnp.float32
  assert d_bias is None if bias is None else d_bias.dtype == jnp.float32


def test_parameters_are_float32_and_products_of_the_given_type():
  layer = Linear(4, 6, dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
  assert layer.kernel[...].dtype == layer.bias[...].dtype == jnp.float32
  assert layer(jnp.ones((2, 4))).dtype == jnp.bfloat16
  plain = Linear(4, 6, use_bias=False, dtype=jnp.float32, rngs=nnx.Rngs(0))
  assert plain.bias is None


def test_bfloat16_kernel_gradients_stay_bfloat16_products():
  """One operand is turned beforehand: no product is widened to float32."""
  x = jax.ShapeDtypeStruct((1024, 256), jnp.bfloat16)
  for sizes in ((256, 512), (256, 128)):
    kernel = jax.ShapeDtypeStruct(sizes, jnp.float32)
    run = jax.grad(
        lambda x, kernel: (linear(x, kernel, None) ** 2)
        .astype(jnp.float32)
        .sum(),
        1,
    )
    text = jax.jit(run).lower(x, kernel).compile().as_text()
    assert "f32[1024,256]" not in text and "f32[256,1024]" not in text
