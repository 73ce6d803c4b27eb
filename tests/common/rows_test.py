import jax.numpy as jnp
import numpy as np

from behavior_lm.common.rows import put_rows
from behavior_lm.common.rows import take_rows
from behavior_lm.common.rows import take_rows_or_all

HIDDEN = np.arange(24.0).reshape(2, 6, 2)


def test_rows_are_gathered_and_those_outside_filled():
  got = take_rows(jnp.asarray(HIDDEN), jnp.asarray([[5, 0, 6], [1, 1, 2]]), 9)
  np.testing.assert_array_equal(got[0, :2], HIDDEN[0, [5, 0]])
  np.testing.assert_array_equal(got[0, 2], [9, 9])
  np.testing.assert_array_equal(got[1], HIDDEN[1, [1, 1, 2]])


def test_all_of_them_where_none_are_named():
  assert take_rows_or_all(HIDDEN, None) is HIDDEN
  found = take_rows_or_all(HIDDEN, jnp.asarray([[2], [3]]))
  np.testing.assert_array_equal(found, HIDDEN[[0, 1], [2, 3]][:, None])


def test_rows_are_put_and_those_outside_dropped():
  new = jnp.asarray([[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
  got = put_rows(jnp.asarray(HIDDEN), jnp.asarray([[5, 6], [0, 2]]), new)
  want = HIDDEN.copy()
  want[0, 5], want[1, 0], want[1, 2] = [1, 2], [5, 6], [7, 8]
  np.testing.assert_array_equal(got, want)
  assert got.dtype == jnp.float32
