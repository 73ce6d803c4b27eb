from hypothesis import given
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.layers.position_encoding import rotate
from behavior_lm.layers.position_encoding import sinusoid_table


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 300))
def test_rotary_products_depend_on_the_distance_alone(a, b, shift):
  rng = np.random.default_rng(a * 201 + b)
  query, key = jnp.asarray(rng.normal(size=(2, 1, 1, 1, 8)), jnp.float32)
  at = lambda x, i: rotate(x, jnp.asarray([[i]]))
  product = lambda i, j: float((at(query, i) * at(key, j)).sum())
  assert abs(product(a, b) - product(a + shift, b + shift)) < 2e-4


def test_rotary_keeps_lengths_and_leaves_position_zero():
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=(1, 3, 2, 8)), jnp.float32)
  out = rotate(x, jnp.asarray([[0, 5, 90]]))
  np.testing.assert_allclose(out[:, 0], x[:, 0], atol=1e-6)
  np.testing.assert_allclose(
      jnp.linalg.norm(out, axis=-1), jnp.linalg.norm(x, axis=-1), rtol=1e-5
  )
  assert not np.allclose(out[:, 1], x[:, 1])


def test_rotary_is_a_rotation_of_each_pair():
  x = jnp.asarray([1.0, 0.0, 0.0, 0.0]).reshape(1, 1, 1, 4)
  out = np.asarray(rotate(x, jnp.asarray([[1]]))).ravel()
  np.testing.assert_allclose(out, [np.cos(1), 0, np.sin(1), 0], atol=1e-6)


def test_the_sinusoid_table_has_the_scale_of_a_token_embedding():
  table = sinusoid_table(jax.random.key(0), (50, 16))
  rms = np.sqrt((np.asarray(table) ** 2).mean())
  assert abs(rms - 0.02) < 1e-6
