from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.layers.dropout import drop
from behavior_lm.layers.dropout import Dropout


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_share_is_zero_and_the_mean_stays(rate, dtype):
  x = jnp.ones((50, 40, 101), dtype)
  out = np.asarray(drop(x, rate, jax.random.key(0)), np.float32)
  kept = out != 0
  share = np.clip(round(rate * 256), 1, 255) / 256
  deviation = (share * (1 - share) / out.size) ** 0.5
  assert abs((1 - kept.mean()) - share) < 4 * deviation
  # One scale, whose product with the share kept is 1.
  np.testing.assert_allclose(out[kept], 1 / (1 - share), rtol=0.005)
  assert drop(x, rate, jax.random.key(0)).dtype == dtype


def test_bytes_of_a_word_are_independent():
  """Neighbours, rows and places in a word of four."""
  out = np.asarray(drop(jnp.ones((400, 400)), 0.3, jax.random.key(1))) == 0
  for shift in [(0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1)]:
    both = (out & np.roll(out, shift, (0, 1))).mean()
    assert both == pytest.approx(0.3**2, abs=0.006)
  for place in range(4):
    assert out[:, place::4].mean() == pytest.approx(0.3, abs=0.006)


def test_the_gradient_is_of_what_is_kept():
  x, key = jnp.linspace(1, 2, 60).reshape(4, 15), jax.random.key(2)
  out, pull = jax.vjp(lambda x: drop(x, 0.5, key), x)
  np.testing.assert_allclose(pull(jnp.ones_like(x))[0], out / x, rtol=1e-6)


def test_it_is_drawn_anew_for_each_call_and_only_in_training():
  dropout, x = Dropout(0.5), jnp.ones((4, 8))
  rngs = nnx.Rngs(dropout=0)
  first, second = (dropout(x, deterministic=False, rngs=rngs) for _ in "12")
  assert (first != second).any()
  again = dropout(x, deterministic=False, rngs=nnx.Rngs(dropout=0))
  np.testing.assert_array_equal(first, again)
  assert dropout(x, deterministic=True, rngs=None) is x
  assert Dropout(0.0)(x, deterministic=False, rngs=None) is x
  with pytest.raises(ValueError, match="stream `dropout`"):
    dropout(x, deterministic=False, rngs=None)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_is_no_share_is_refused(rate):
  with pytest.raises(ValueError, match="at least 0 and below 1"):
    Dropout(rate)
