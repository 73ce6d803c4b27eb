"""The evaluation mask."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.data.fixed_mask import fixed_mask


@pytest.mark.slow
@given(
    st.text(),
    st.integers(-(2**62), 2**62),
    st.integers(0, 500),
    st.floats(0, 1),
)
def test_exactly_the_rounded_share_is_masked(user, start, length, rate):
  mask = fixed_mask(user, start, length, mask_rate=rate)
  assert mask.shape == (length,)
  assert mask.dtype == bool
  assert mask.sum() == round(rate * length)


def test_the_mask_is_the_same_on_every_machine():
  # Written down once; a change here makes old evaluations incomparable.
  got = np.flatnonzero(fixed_mask("player-7", 1_575_417_600_000_000, 40))
  assert got.tolist() == [1, 2, 5, 7, 12, 29]


def test_every_part_of_the_name_matters():
  base = dict(user_id="a", start=12, num_events=300, seed=1)
  other = [
      dict(base, user_id="b"), dict(base, start=13), dict(base, seed=2),
      # Digits that move between the parts.
      dict(base, user_id="2:a", start=1), dict(base, seed=11, start=2),
  ]  # fmt: skip
  mask = fixed_mask(**base)
  np.testing.assert_array_equal(mask, fixed_mask(**base))
  for arguments in other:
    assert (fixed_mask(**arguments) != mask).any()


def test_every_place_is_masked_equally_often():
  masks = [fixed_mask(f"user{i}", i, 20) for i in range(4_000)]
  share = np.mean(masks, axis=0)
  # Five deviations of a share of 4,000 draws at .15.
  assert np.abs(share - 0.15).max() < 5 * (0.15 * 0.85 / 4_000) ** 0.5


def test_bad_arguments_are_refused():
  with pytest.raises(ValueError, match="mask_rate"):
    fixed_mask("a", 0, 10, mask_rate=1.5)
  with pytest.raises(ValueError, match="num_events"):
    fixed_mask("a", 0, -1)
