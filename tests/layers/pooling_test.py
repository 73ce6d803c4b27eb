import jax.numpy as jnp
import numpy as np

from behavior_lm.layers.pooling import first_token
from behavior_lm.layers.pooling import take_positions

SEGMENTS = jnp.asarray([[1, 1, 2, 3, 3, 0], [1, 1, 1, 1, 1, 1]])
HIDDEN = jnp.arange(24.0).reshape(2, 6, 2)


def test_first_token_takes_each_segments_cls():
  got = np.asarray(first_token(HIDDEN, SEGMENTS, 4))
  want = np.zeros((2, 4, 2))
  want[0, :3] = np.asarray(HIDDEN)[0, [0, 2, 3]]
  want[1, 0] = np.asarray(HIDDEN)[1, 0]
  np.testing.assert_array_equal(got, want)


def test_take_positions_gathers_rows():
  got = take_positions(HIDDEN, jnp.asarray([[5, 0], [1, 1]]))
  np.testing.assert_array_equal(got[0], HIDDEN[0, jnp.asarray([5, 0])])
  np.testing.assert_array_equal(got[1], HIDDEN[1, jnp.asarray([1, 1])])
