from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives.masking.budgets import budgets
from behavior_lm.objectives.masking.budgets import choose_masked
from behavior_lm.objectives.masking.budgets import max_masked

LENGTH, SEGMENTS = 48, 5


def rows(sizes):
  """Segments of CLS and sizes[i] events; (segment_ids, eligible)."""
  ids, eligible = [], []
  for number, size in enumerate(sizes, 1):
    ids += [number] * (size + 1)
    eligible += [False] + [True] * size
  pad = LENGTH - len(ids)
  return (
      np.asarray([ids + [0] * pad], np.int32),
      np.asarray([eligible + [False] * pad]),
  )


SIZES = st.lists(
    st.integers(0, 40), min_size=0, max_size=SEGMENTS
).filter(lambda sizes: sum(sizes) + len(sizes) <= LENGTH)


DRAWS = st.floats(0, 1, exclude_max=True, width=32)


@pytest.mark.slow
@settings(max_examples=40)
@given(SIZES, st.floats(0.05, 0.9), DRAWS, st.integers(0, 10**6))
def test_each_segment_masks_its_budget_of_the_best(sizes, rate, draw, seed):
  ids, eligible = rows(sizes)
  scores = np.random.default_rng(seed).random(ids.shape).astype(np.float32)
  at, valid = choose_masked(
      jnp.asarray(scores),
      jnp.asarray(eligible),
      jnp.asarray(ids),
      jnp.asarray([draw], jnp.float32),
      mask_rate=rate,
      max_segments=SEGMENTS,
  )
  chosen = np.asarray(at)[np.asarray(valid)]
  assert len(set(chosen.tolist())) == len(chosen)
  want, before, total = [], 0, 0
  for number, size in enumerate(sizes, 1):
    inside = np.flatnonzero((ids[0] == number) & eligible[0])
    total += size
    upto = np.floor(np.float32(rate) * np.float32(total) + np.float32(draw))
    budget, before = int(upto) - before, int(upto)
    assert abs(budget - rate * size) < 1 + 1e-4
    best = inside[np.argsort(-scores[0, inside], kind="stable")[:budget]]
    want += best.tolist()
  assert sorted(chosen.tolist()) == sorted(want)


@given(st.integers(2, 3_000), st.floats(0.05, 0.95))
def test_the_capacity_is_never_exceeded(length, rate):
  sizes = np.arange(length)
  draw = np.nextafter(np.float32(1), np.float32(0))
  most = np.floor(np.float32(rate) * np.float32(sizes) + draw).max()
  assert most <= max_masked(length, rate)


@pytest.mark.parametrize("sizes", [[1], [3], [1, 1, 1, 1, 1], [2, 7, 20], [9]])
def test_short_segments_are_masked_in_expectation(sizes):
  ids, eligible = rows(sizes)
  count = 400
  draws = (np.arange(count, dtype=np.float32) + 0.5) / count
  found = budgets(
      jnp.asarray(np.repeat(eligible, count, 0)),
      jnp.asarray(np.repeat(ids, count, 0)),
      jnp.asarray(draws),
      mask_rate=0.15,
      max_segments=SEGMENTS,
  )
  means = np.asarray(found).mean(0)
  assert means[0] == 0
  np.testing.assert_allclose(
      means[1 : len(sizes) + 1], 0.15 * np.asarray(sizes), atol=2 / count
  )
