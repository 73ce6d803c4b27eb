from hypothesis import example
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax.numpy as jnp
import numpy as np

from behavior_lm.objectives.masking import choose_masked
from behavior_lm.objectives.masking import max_masked

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


@settings(max_examples=40)
@given(SIZES, st.floats(0.05, 0.9), st.integers(0, 10**6))
def test_each_segment_masks_its_exact_budget_of_the_best(sizes, rate, seed):
  ids, eligible = rows(sizes)
  scores = np.random.default_rng(seed).random(ids.shape).astype(np.float32)
  at, valid = choose_masked(
      jnp.asarray(scores),
      jnp.asarray(eligible),
      jnp.asarray(ids),
      mask_rate=rate,
      max_segments=SEGMENTS,
  )
  chosen = np.asarray(at)[np.asarray(valid)]
  assert len(set(chosen.tolist())) == len(chosen)
  want = []
  for number, size in enumerate(sizes, 1):
    inside = np.flatnonzero((ids[0] == number) & eligible[0])
    budget = int(np.floor(np.float32(rate) * np.float32(size) + 0.5))
    best = inside[np.argsort(-scores[0, inside], kind="stable")[:budget]]
    want += best.tolist()
  assert sorted(chosen.tolist()) == sorted(want)


# 0.15 * 273 + 3 * 0.35 is 42, but not in floating point.
@example(273, 0.15, 3)
@given(st.integers(2, 300), st.floats(0.05, 0.95), st.integers(1, 16))
def test_the_capacity_is_never_exceeded(length, rate, max_segments):
  capacity = max_masked(length, rate, max_segments)
  for size in range(1, length):
    segments = min(max_segments, length // (size + 1))
    sizes = [size] * segments
    left = length - segments * (size + 1)
    if segments < max_segments and left > 1:
      sizes.append(left - 1)
    narrow = np.float32(rate) * np.float32(sizes) + np.float32(0.5)
    assert np.floor(narrow).sum() <= capacity
    assert sum(int(np.floor(rate * n + 0.5)) for n in sizes) <= capacity
