import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.layers.chunked import in_pieces


@pytest.mark.parametrize("length", [1, 5, 8, 13])
@pytest.mark.parametrize("size", [0, 1, 4, 13, 99])
def test_pieces_make_what_the_whole_makes(length, size):
  rng = np.random.default_rng(0)
  draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)
  hidden, up, down = draw(2, length, 4), draw(4, 16), draw(16, 3)
  # Uneven, so that no place can be mistaken for another.
  cotangent = draw(2, length, 3)

  def run(size, hidden, up, down):
    net = lambda x: jnp.tanh(x @ up) @ down
    return in_pieces(net, hidden, size)

  got, pull = jax.vjp(lambda *x: run(size, *x), hidden, up, down)
  want, pull_whole = jax.vjp(lambda *x: run(0, *x), hidden, up, down)
  np.testing.assert_allclose(got, want, atol=1e-5)
  for a, b in zip(pull(cotangent), pull_whole(cotangent), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)


def test_pieces_need_less_memory():
  hidden, up = jnp.zeros((1, 4096, 16)), jnp.zeros((16, 512))

  def temp_bytes(size):
    net = lambda x: jnp.tanh(x @ up) @ up.T
    loss = lambda x: (in_pieces(net, x, size) ** 2).sum()
    compiled = jax.jit(jax.grad(loss)).lower(hidden).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temp_bytes(256) < 0.3 * temp_bytes(0)


def test_a_negative_size_is_an_error():
  with pytest.raises(ValueError, match="-1 positions"):
    in_pieces(lambda x: x, jnp.zeros((1, 2, 3)), -1)
