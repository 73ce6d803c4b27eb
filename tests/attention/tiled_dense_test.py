import functools

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention import tiled_dense
from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.tiled_dense import tiled_dense_attention
from tests.attention.comparing import assert_close
from tests.attention.comparing import draw
from tests.attention.comparing import values_and_gradients

BATCH, HEADS, HEAD_DIM = 2, 2, 8


def oracle(query, key, value, *, segment_ids, positions, causal, since=None):
  mask = segment_mask(segment_ids, positions=positions, causal=causal)
  if since is not None:
    mask &= (positions[:, None, :] >= since[:, :, None])[:, None]
  return dense_attention(query, key, value, mask=mask)


def rows(rng, length):
  """Packed rows: segments of random lengths, then padding; or all padding."""
  ids, positions = np.zeros((2, BATCH, length), np.int32)
  for row in range(BATCH):
    start, number = 0, 1
    while start < length and rng.random() < 0.8:
      end = start + int(rng.integers(1, length - start + 1))
      ids[row, start:end] = number
      positions[row, start:end] = np.arange(end - start)
      start, number = end, number + 1
  return jnp.asarray(ids), jnp.asarray(positions)


def bounds(rng, positions):
  """Where each token's past begins: at 0, or at itself at the latest."""
  since = np.asarray(positions) * rng.random(positions.shape)
  return jnp.asarray(since * (rng.random(positions.shape) < 0.7), jnp.int32)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    length=st.sampled_from([1, 2, 31, 64, 129, 200]),
    causal=st.booleans(),
    least=st.sampled_from([1, 7, 128]),
    bfloat=st.booleans(),
    bounded=st.booleans(),
)
def test_it_equals_the_oracle(seed, length, causal, least, bfloat, bounded):
  rng = np.random.default_rng(seed)
  ids, positions = rows(rng, length)
  shape = (BATCH, length, HEADS, HEAD_DIM)
  qkv = [jnp.asarray(rng.standard_normal(shape), jnp.float32) for _ in "qkv"]
  fields = dict(segment_ids=ids, positions=positions, causal=causal)
  if causal and bounded:
    fields["since"] = bounds(rng, positions)
  cotangent = jnp.asarray(rng.standard_normal(shape), jnp.float32)

  def both(run, qkv):
    out, pull = jax.vjp(functools.partial(run, **fields), *qkv)
    return out, pull(cotangent.astype(out.dtype))

  dtype, atol = (jnp.bfloat16, 0.1) if bfloat else (jnp.float32, 1e-5)
  with pytest.MonkeyPatch.context() as patch:
    # Few queries at once, so that a row has several tiles.
    patch.setattr(tiled_dense, "MIN_QUERIES", least)
    patch.setattr(tiled_dense, "SCORES_AT_ONCE", 1)
    run = jax.jit(functools.partial(both, tiled_dense_attention))
    got = run([x.astype(dtype) for x in qkv])
  want = jax.jit(functools.partial(both, oracle))(qkv)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(
          a.astype(jnp.float32), b, atol=atol
      ),
      got,
      want,
  )
  assert np.all(np.asarray(got[0], np.float32)[np.asarray(ids) == 0] == 0)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    length=st.sampled_from([1, 2, 31, 129]),
    queries=st.sampled_from([0, 1, 3, 40]),
    causal=st.booleans(),
    least=st.sampled_from([1, 7, 128]),
    bounded=st.booleans(),
)
def test_few_queries_get_what_all_would(
    seed, length, queries, causal, least, bounded
):
  """At any places, repeated and in padding; values and gradients."""
  rng = np.random.default_rng(seed)
  ids, positions = rows(rng, length)
  at = jnp.asarray(rng.integers(0, length, (BATCH, queries)), jnp.int32)
  shape = (BATCH, length, HEADS, HEAD_DIM)
  inputs = [draw(rng, *shape) for _ in "qkv"]
  fields = dict(segment_ids=ids, positions=positions, causal=causal)
  if causal and bounded:
    fields["since"] = bounds(rng, positions)
  take = lambda x: x[jnp.arange(BATCH)[:, None], at]

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tiled_dense, "MIN_QUERIES", least)
    patch.setattr(tiled_dense, "SCORES_AT_ONCE", 1)
    got = values_and_gradients(
        lambda q, k, v: tiled_dense_attention(
            take(q), k, v, query_at=at, **fields
        ),
        *inputs,
    )
  want = values_and_gradients(
      lambda *qkv: take(oracle(*qkv, **fields)), *inputs
  )
  assert_close(got, want, atol=1e-5)


@pytest.mark.slow
def test_memory_is_linear_in_the_length():
  def temp(length):
    x = jax.ShapeDtypeStruct((1, length, 2, 8), jnp.float32)
    ids = jax.ShapeDtypeStruct((1, length), jnp.int32)
    run = lambda q, k, v, ids: tiled_dense_attention(
        q, k, v, segment_ids=ids, positions=ids
    )
    grad = jax.grad(lambda *a: run(*a).sum(), (0, 1, 2))
    compiled = jax.jit(grad).lower(x, x, x, ids).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temp(8192) < 2.2 * temp(4096)


def test_shapes_that_disagree_are_named():
  x = jnp.zeros((1, 4, 2, 8))
  ids = jnp.zeros((1, 5), jnp.int32)
  with pytest.raises(ValueError, match=r"segment_ids \(1, 5\)"):
    tiled_dense_attention(x, x, x, segment_ids=ids, positions=ids)
  fields = dict(segment_ids=ids[:, :4], positions=ids[:, :4])
  with pytest.raises(ValueError, match=r"query_at \(1, 3\)"):
    tiled_dense_attention(x, x, x, query_at=ids[:, :3], **fields)
