import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np

from behavior_lm.logs.reports import gap_bins


@given(st.lists(st.integers(0, 10**14), min_size=1))
def test_bins_keep_three_digits(numbers):
  bins = gap_bins.to_bin(np.array(numbers))
  assert bins.min() >= 0 and bins.max() < gap_bins.NUM_BINS
  values = gap_bins.from_bin(bins)
  for number, value in zip(numbers, values.tolist(), strict=True):
    assert value <= number
    assert number - value <= number / 100
    if number:
      digits = 10 ** max(math.floor(math.log10(number)) - 2, 0)
      assert value == number // digits * digits or number < 1_000


def test_lengths_and_the_largest_integer_have_a_bin():
  largest = np.array([np.iinfo(np.int64).max])
  assert gap_bins.to_bin(largest)[0] < gap_bins.NUM_BINS
  longest = gap_bins.to_bin(np.array([gap_bins.MAX_LENGTH]))[0]
  assert longest == gap_bins.NUM_LENGTH_BINS - 1
