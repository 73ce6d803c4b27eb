"""Intervals and tests by users."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.evaluation.statistics import bootstrap_difference
from behavior_lm.evaluation.statistics import bootstrap_ratio


def world(rng, num_users=60, effect=0.0):
  """Two models' bits: users differ much, the models by `effect` an event."""
  events = rng.integers(5, 80, num_users).astype(float)
  level = rng.normal(3.0, 1.0, num_users)
  noise = rng.normal(0, 0.3, (2, num_users))
  bits = (level + noise + np.array([[effect], [0.0]])) * events
  return bits[0], bits[1], events, [f"u{i}" for i in range(num_users)]


def test_the_value_is_the_ratio_of_sums_whatever_the_rows():
  bits, events = np.array([4.0, 6.0, 2.0]), np.array([1.0, 3.0, 4.0])
  got = bootstrap_ratio(bits, events, ["a", "b", "a"])
  assert got.value == pytest.approx(12 / 8)
  merged = bootstrap_ratio([6.0, 6.0], [5.0, 3.0], ["a", "b"])
  assert got == merged


@given(st.integers(0, 2**31))
def test_limits_stay_between_the_extreme_users(seed):
  rng = np.random.default_rng(seed)
  bits, _, events, users = world(rng, num_users=8)
  got = bootstrap_ratio(bits, events, users, num_resamples=200)
  ratios = bits / events
  assert ratios.min() <= got.low <= got.high <= ratios.max()
  assert got.interval == [got.low, got.high]


def test_intervals_cover_the_truth_about_as_often_as_they_say():
  rng = np.random.default_rng(0)
  hits, rounds = 0, 300
  for i in range(rounds):
    bits, _, events, users = world(rng)
    got = bootstrap_ratio(bits, events, users, num_resamples=300, seed=i)
    hits += got.low <= 3.0 <= got.high
  # 95 % nominal; percentiles of 60 users fall a little short of it.
  assert 0.90 <= hits / rounds <= 0.985


def test_p_values_without_a_difference_are_about_uniform():
  rng = np.random.default_rng(1)
  ps = []
  for i in range(300):
    ps.append(bootstrap_difference(*world(rng), num_resamples=300, seed=i).p)
  for level in (0.05, 0.2, 0.5):
    deviation = (level * (1 - level) / 300) ** 0.5
    assert abs(np.mean(np.array(ps) <= level) - level) < 4 * deviation


def test_pairing_finds_what_separate_intervals_do_not():
  a, b, events, users = world(np.random.default_rng(2), effect=-0.3)
  one = bootstrap_ratio(a, events, users)
  two = bootstrap_ratio(b, events, users)
  assert one.high > two.low
  difference = bootstrap_difference(a, b, events, users)
  assert difference.high < 0
  assert difference.p < 0.01
  assert difference.value == pytest.approx(one.value - two.value)


@given(st.integers(0, 2**31))
def test_swapping_the_models_mirrors_the_difference(seed):
  a, b, events, users = world(np.random.default_rng(seed), effect=0.1)
  one = bootstrap_difference(a, b, events, users, num_resamples=200)
  two = bootstrap_difference(b, a, events, users, num_resamples=200)
  np.testing.assert_allclose(
      [one.value, one.low, one.high, one.p],
      [-two.value, -two.high, -two.low, two.p],
      atol=1e-12,
  )


def test_equal_models_differ_by_nothing():
  a, _, events, users = world(np.random.default_rng(3))
  got = bootstrap_difference(a, a, events, users)
  assert (got.value, got.low, got.high, got.p) == (0, 0, 0, 1)


def test_a_seed_decides_everything_and_blocks_nothing():
  a, _, events, users = world(np.random.default_rng(4))
  one = bootstrap_ratio(a, events, users, seed=5)
  assert one == bootstrap_ratio(a, events, users, seed=5)
  assert one != bootstrap_ratio(a, events, users, seed=6)
  small = bootstrap_ratio(a, events, users, seed=5, block_cells=60 * 7)
  assert one == small


def test_users_without_events_change_nothing():
  a, _, events, users = world(np.random.default_rng(5))
  one = bootstrap_ratio(a, events, users)
  two = bootstrap_ratio([*a, 0.0], [*events, 0.0], [*users, "zz"])
  assert one == two


@pytest.mark.parametrize(
    "bits, events, users, message",
    [
        ([1.0], [1.0], ["a"], "at least two users"),
        ([1.0, 2.0], [1.0, 0.0], ["a", "b"], "at least two users"),
        ([1.0, 2.0], [1.0], ["a", "b"], "must be as many"),
        ([1.0, np.nan], [1.0, 1.0], ["a", "b"], "not finite"),
        ([1.0, 2.0], [1.0, -1.0], ["a", "b"], "below 0"),
    ],
)
def test_bad_input_is_named(bits, events, users, message):
  with pytest.raises(ValueError, match=message):
    bootstrap_ratio(bits, events, users)
