import jax.numpy as jnp
import numpy as np

from behavior_lm.layers.pooling import first_token

SEGMENTS = jnp.asarray([[1, 1, 2, 3, 3, 0], [1, 1, 1, 1, 1, 1]])
HIDDEN = jnp.arange(24.0).reshape(2, 6, 2)


def test_first_token_takes_each_segments_cls():
  got = np.asarray(first_token(HIDDEN, SEGMENTS, 4))
  want = np.zeros((2, 4, 2))
  want[0, :3] = np.asarray(HIDDEN)[0, [0, 2, 3]]
  want[1, 0] = np.asarray(HIDDEN)[1, 0]
  np.testing.assert_array_equal(got, want)
