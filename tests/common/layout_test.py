import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.common.layout import transposed


@pytest.mark.parametrize("shape", [(3, 5), (2, 4, 3, 5), (1, 7)])
def test_the_last_two_axes_are_turned(shape):
  x = jnp.arange(np.prod(shape)).reshape(shape)
  np.testing.assert_array_equal(
      jax.jit(transposed)(x), np.swapaxes(x, -1, -2)
  )


def test_the_copy_stays_outside_the_product():
  """A folded transpose has XLA widen the operands to float32."""
  x = jax.ShapeDtypeStruct((4096, 256), jnp.bfloat16)
  y = jax.ShapeDtypeStruct((4096, 128), jnp.bfloat16)
  text = {
      run: jax.jit(run).lower(x, y).compile().as_text()
      for run in (lambda x, y: transposed(x) @ y, lambda x, y: x.T @ y)
  }
  ours, folded = text.values()
  assert "bf16[256,4096]{1,0}" in ours and "f32[4096,256]" not in ours
  # Should XLA learn to do it, this module has no reason any more.
  assert "f32[4096,256]" in folded


def test_it_lowers_for_other_devices():
  x = jax.ShapeDtypeStruct((4, 8), jnp.float32)
  for platform in ("tpu", "cuda"):
    jax.jit(transposed).trace(x).lower(lowering_platforms=(platform,))
