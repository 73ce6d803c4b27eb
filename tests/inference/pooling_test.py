from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.pooling import find_pooling
from behavior_lm.inference.pooling import RowSums


@given(
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=12),
    rng=st.randoms(use_true_random=False),
)
def test_windows_may_arrive_in_any_order(counts, rng):
  values = np.random.default_rng(0).standard_normal((sum(counts), 3))
  windows = [(row, i) for row, n in enumerate(counts) for i in range(n)]
  sizes = [1 + i for _, i in windows]
  sums = RowSums(find_pooling("cls"), 3)
  for row, count in enumerate(counts):
    for _ in range(count):
      sums.expect(row)
    sums.complete(row)
  order = list(range(len(windows)))
  rng.shuffle(order)
  for at in order:
    sums.add(windows[at][0], values[at], sizes[at])
  got = sums.vectors()
  assert got.shape == (len(counts), 3)
  for row in range(len(counts)):
    mine = [at for at, (owner, _) in enumerate(windows) if owner == row]
    want = np.average(values[mine], 0, [sizes[at] for at in mine])
    np.testing.assert_allclose(got[row], want, atol=1e-6)


def test_a_row_that_waits_for_a_window_is_never_returned():
  sums = RowSums(find_pooling("mean"), 3, num_rows=1)
  sums.expect(0)
  sums.complete(0)
  with pytest.raises(RuntimeError, match="1 rows still wait"):
    sums.vectors()


def test_an_unknown_pooling_is_an_error():
  with pytest.raises(UserError, match="'median'; known are mean, cls, max"):
    find_pooling("median")
