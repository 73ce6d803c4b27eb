import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.band import make_band

CASES = [
    (length, window, dilation, causal)
    for length in (1, 64, 130, 301)
    for window, dilation in ((1, 1), (65, 1), (400, 1), (3, 2), (70, 3))
    for causal in (False, True)
]


@pytest.mark.parametrize(("length", "window", "dilation", "causal"), CASES)
def test_a_stretch_holds_each_key_of_a_window_once(
    length, window, dilation, causal
):
  band = make_band(
      length, window_size=window, dilation=dilation, causal=causal
  )
  offsets = jnp.arange(length)[None, :, None, None]
  queries = band.blocks(offsets, -1).swapaxes(-1, -2)
  keys = band.stretches(band.blocks(offsets, -1), -1)
  # Every pair of offsets that the band brings together.
  near = np.asarray(band.near() & (queries >= 0) & (keys >= 0))
  pairs = [
      tuple(pair)
      for pair in np.stack(np.broadcast_arrays(queries, keys), -1)[near]
  ]
  want = {
      (i, i + step * dilation)
      for i in range(length)
      for step in range(-window, 1 if causal else window + 1)
      if 0 <= i + step * dilation < length
  }
  assert len(pairs) == len(set(pairs)) and set(pairs) == want
  rows = band.rows(queries.swapaxes(-1, -2))
  np.testing.assert_array_equal(rows, offsets)


def test_a_long_row_costs_three_windows_a_query():
  band = make_band(10_000, window_size=128, dilation=1, causal=False)
  assert band.near().shape == (384, 128)
  band = make_band(10_000, window_size=128, dilation=1, causal=True)
  assert band.near().shape == (256, 128)
