"""Runs in which nothing can be masked are refused; short sequences counted."""

import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.recipes.shared.checks import check_maskable


@pytest.mark.parametrize(
    ("num_tokens", "rate"), [([], 0.15), ([1] * 6, 0.15), ([0] * 99, 0.5)]
)
def test_a_run_in_which_nothing_is_masked_is_refused(num_tokens, rate):
  with pytest.raises(UserError, match="nothing to learn: the split has"):
    check_maskable(np.asarray(num_tokens, np.int64), rate)


@pytest.mark.parametrize(
    ("num_tokens", "share"),
    [([1] * 100, "100.0%"), ([3] * 50 + [200] * 50, "50.0%"), ([6] * 9, "100")],
)
def test_the_share_of_short_sequences_is_told(num_tokens, share):
  said = check_maskable(np.asarray(num_tokens), 0.15)
  assert said.startswith(share)


def test_a_log_of_long_sequences_needs_no_word():
  assert check_maskable(np.asarray([7] * 95 + [2] * 5), 0.15) == ""
