from hypothesis import example
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.stores.encoding import decode
from behavior_lm.inference.stores.encoding import encode
from behavior_lm.inference.stores.encoding import ENCODINGS

LARGEST_HALF = 65504


def vectors_of(largest):
  shapes = st.tuples(st.integers(0, 4), st.integers(1, 6))
  values = st.floats(-largest, largest, width=32)
  return hnp.arrays(np.float32, shapes, elements=values)


@given(vectors_of(LARGEST_HALF))
def test_float32_is_exact_and_float16_off_by_half_a_last_bit(vectors):
  np.testing.assert_array_equal(decode(encode(vectors, "float32")), vectors)
  kept = encode(vectors, "float16")
  assert kept.values.dtype == np.float16 and kept.scales is None
  error = np.abs(decode(kept).astype(np.float64) - vectors)
  assert (error <= np.maximum(np.abs(vectors) / 2048, 2.0**-25)).all()


@given(vectors_of(float(np.finfo(np.float32).max)))
@example(np.array([[np.finfo(np.float32).max]]))
def test_int8_is_off_by_half_a_scale_at_most(vectors):
  kept = encode(vectors, "int8")
  assert kept.values.dtype == np.int8 and kept.scales.dtype == np.float32
  assert (np.abs(kept.values.astype(int)) <= 127).all()
  largest = np.abs(vectors.astype(np.float64)).max(1, initial=0)
  error = np.abs(decode(kept).astype(np.float64) - vectors)
  # Half a step, and what float32 rounds in the scale and the product.
  bound = largest / 254 * (1 + 1e-5) + 127 * 2.0**-149
  assert (error <= bound[:, None]).all()


@given(vectors_of(1e3))
def test_int8_spends_its_range_on_the_largest_value(vectors):
  kept = encode(vectors, "int8")
  for row, vector in zip(kept.values.astype(int), vectors, strict=True):
    if np.abs(vector).max() > 1e-30:
      assert np.abs(row).max() == 127
    assert (np.sign(row) * np.sign(vector) >= 0).all()


def test_what_float16_cannot_hold_is_an_error_that_names_the_row():
  vectors = np.ones((3, 2), np.float32)
  vectors[2, 1] = -70_000
  with pytest.raises(UserError, match="vector 2 holds 70000.*int8 or float32"):
    encode(vectors, "float16")


def test_an_unknown_type_is_refused():
  with pytest.raises(UserError, match="'int4'; known are float32"):
    encode(np.ones((1, 1)), "int4")
  assert list(ENCODINGS) == ["float32", "float16", "int8"]
