from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.backends import attend
from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.spec import AttentionSpec


def by_hand(query, key, value, segment_ids, positions, causal):
  """One query at a time, in float64: nothing shared with the kernel."""
  query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
  batch, length, heads, dim = query.shape
  out = np.zeros((batch, length, heads, dim))
  for b in range(batch):
    for i in range(length):
      sees = [
          j
          for j in range(length)
          if segment_ids[b, j] != 0
          and segment_ids[b, j] == segment_ids[b, i]
          and (not causal or positions[b, j] <= positions[b, i])
      ]
      if not sees:
        continue
      for h in range(heads):
        scores = key[b, sees, h] @ query[b, i, h] / np.sqrt(dim)
        weights = np.exp(scores - scores.max())
        out[b, i, h] = weights @ value[b, sees, h] / weights.sum()
  return out


def packed(rng, batch, length):
  """Random segments from the left, padding at the end, one row all padding."""
  segments = np.zeros((batch, length), np.int32)
  positions = np.zeros((batch, length), np.int32)
  for row in range(batch - 1):
    start = 0
    for number in range(1, 4):
      size = int(rng.integers(1, length))
      end = min(start + size, length)
      segments[row, start:end] = number
      positions[row, start:end] = np.arange(end - start)
      start = end
  return segments, positions


@pytest.mark.slow
@settings(max_examples=15)
@given(
    st.integers(0, 10**6), st.sampled_from([1, 2, 7, 16]), st.booleans()
)
def test_attention_equals_the_sum_written_by_hand(seed, length, causal):
  rng = np.random.default_rng(seed)
  segments, positions = packed(rng, 3, length) if length > 1 else (
      np.ones((3, 1), np.int32), np.zeros((3, 1), np.int32)
  )
  qkv = rng.normal(size=(3, 3, length, 2, 4)).astype(np.float32) * 3
  got = attend(
      *map(jnp.asarray, qkv),
      segment_ids=jnp.asarray(segments),
      positions=jnp.asarray(positions),
      spec=AttentionSpec(causal=causal),
  )
  want = by_hand(*qkv, segments, positions, causal)
  np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.slow
def test_padding_gives_zero_and_takes_no_gradient():
  rng = np.random.default_rng(0)
  segments = jnp.asarray([[1, 1, 0], [0, 0, 0]])
  qkv = jnp.asarray(rng.normal(size=(3, 2, 3, 1, 4)), jnp.float32)

  def total(qkv):
    out = dense_attention(*qkv, mask=segment_mask(segments))
    return (out**2).sum(), out

  grads, out = jax.grad(total, has_aux=True)(qkv)
  assert np.all(np.asarray(out)[0, 2] == 0) and np.all(np.asarray(out)[1] == 0)
  assert np.isfinite(grads).all()
  assert np.all(np.asarray(grads)[:, 1] == 0)
  assert np.all(np.asarray(grads)[:, 0, 2] == 0)
  assert np.any(np.asarray(grads)[:, 0, :2] != 0)


@pytest.mark.slow
def test_gradients_equal_finite_differences():
  rng = np.random.default_rng(1)
  segments = np.asarray([[1, 1, 2, 2, 0]])
  qkv = rng.normal(size=(3, 1, 5, 1, 4))
  weight = rng.normal(size=(1, 5, 1, 4))

  def total(qkv):
    out = dense_attention(
        *jnp.asarray(qkv, jnp.float32),
        mask=segment_mask(jnp.asarray(segments)),
    )
    return (out * weight).sum()

  grads = np.asarray(jax.grad(total)(jnp.asarray(qkv, jnp.float32)))
  by_hand_total = lambda qkv: (
      by_hand(*qkv, segments, segments, False) * weight
  ).sum()
  for index in [(0, 0, 1, 0, 2), (1, 0, 3, 0, 0), (2, 0, 2, 0, 3)]:
    step = np.zeros_like(qkv)
    step[index] = 1e-5
    slope = (by_hand_total(qkv + step) - by_hand_total(qkv - step)) / 2e-5
    assert grads[index] == pytest.approx(slope, abs=1e-4)


@pytest.mark.slow
def test_large_scores_do_not_overflow():
  query = jnp.full((1, 2, 1, 4), 300.0)
  value = jnp.arange(8.0).reshape(1, 2, 1, 4)
  out = dense_attention(
      query, query, value, mask=segment_mask(jnp.ones((1, 2), jnp.int32))
  )
  np.testing.assert_allclose(out[0, 0, 0], [2.0, 3.0, 4.0, 5.0])


@pytest.mark.slow
def test_bfloat16_stays_near_float32():
  rng = np.random.default_rng(2)
  qkv = jnp.asarray(rng.normal(size=(3, 2, 16, 2, 8)), jnp.float32)
  mask = segment_mask(jnp.ones((2, 16), jnp.int32))
  want = dense_attention(*qkv, mask=mask)
  got = dense_attention(*qkv.astype(jnp.bfloat16), mask=mask)
  assert got.dtype == jnp.bfloat16
  np.testing.assert_allclose(got.astype(jnp.float32), want, atol=0.05)


def test_causal_without_positions_is_an_error():
  with pytest.raises(ValueError, match="needs positions"):
    segment_mask(jnp.ones((1, 2), jnp.int32), causal=True)


def test_shapes_that_disagree_are_an_error():
  x = jnp.zeros((1, 2, 1, 4))
  with pytest.raises(ValueError, match="shapes disagree"):
    dense_attention(x, x, x[:, :1], mask=jnp.ones((1, 1, 2, 2), bool))
