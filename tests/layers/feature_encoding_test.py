from flax import nnx
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.data.fields import FIELDS
from behavior_lm.layers.feature_encoding import FeatureEncoding

DIM = 8


def encode(features):
  named = tuple(
      (name, FIELDS[name].categories if name in FIELDS else 0)
      for name in features
  )
  layer = FeatureEncoding(named, DIM, rngs=nnx.Rngs(0))
  arrays = {name: jnp.asarray(values) for name, values in features.items()}
  shape = next(iter(arrays.values())).shape
  return layer, np.asarray(layer(jnp.zeros((*shape, DIM)), arrays))


def test_a_category_has_a_vector_of_its_own_and_so_has_none():
  _, got = encode({"hour": np.asarray([[-1, 0, 23, 0]])})
  assert len({tuple(vector) for vector in got[0]}) == 3
  np.testing.assert_array_equal(got[0, 1], got[0, 3])


def test_numbers_are_scaled_by_their_signed_logarithm():
  values = np.asarray([[0.0, 10.0, -10.0]], np.float32)
  layer, got = encode({"price": values})
  weight, bias, _ = np.asarray(layer.numbers["price"][...])
  for at, number in enumerate([0, np.log(11), -np.log(11)]):
    np.testing.assert_allclose(got[0, at], number * weight + bias, rtol=1e-5)


@pytest.mark.parametrize("values", [
    np.asarray([[np.nan, 2.0]], np.float32), np.asarray([[-1, 2]], np.int32)
])
def test_a_missing_number_has_a_vector_and_a_gradient_of_its_own(values):
  layer, got = encode({"level": values})
  missing = np.asarray(layer.numbers["level"][...])[2]
  np.testing.assert_allclose(got[0, 0], missing, rtol=1e-6)
  assert np.isfinite(got).all()

  def total(layer):
    out = layer(jnp.zeros((1, 2, DIM)), {"level": jnp.asarray(values)})
    return (out**2).sum()

  grads = nnx.grad(total)(layer)
  assert np.isfinite(np.asarray(grads["numbers"]["level"][...])).all()


def test_without_features_nothing_is_added():
  layer = FeatureEncoding((), DIM, rngs=nnx.Rngs(0))
  hidden = jnp.ones((1, 2, DIM))
  np.testing.assert_array_equal(layer(hidden, {}), hidden)
