import functools
import itertools

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.hashing import Order
from behavior_lm.attention.lsh import lsh_attention
from behavior_lm.attention.lsh import sort_into_chunks
from behavior_lm.attention.masks import bucket_mask
from tests.attention.comparing import assert_close
from tests.attention.comparing import draw
from tests.attention.comparing import lsh_by_buckets
from tests.attention.comparing import packed_segments
from tests.attention.comparing import values_and_gradients

BATCH, HEADS, HEAD_DIM = 2, 2, 4


def oracle(query_key, value, *, buckets, segment_ids, chunk_size, causal):
  """Dense attention under the mask that the kernel's docstring names."""
  mask = bucket_mask(buckets, segment_ids, chunk_size=chunk_size, causal=causal)
  x = query_key.astype(jnp.float32)
  key = x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-6)
  return dense_attention(query_key, key.astype(value.dtype), value, mask=mask)


@pytest.mark.slow
@settings(max_examples=5)
@given(
    seed=st.integers(0, 10**6),
    length=st.sampled_from([1, 2, 15, 32, 61, 100]),
    chunk_size=st.sampled_from([1, 4, 16, 50, 128]),
    rounds=st.integers(1, 4),
    num_buckets=st.sampled_from([1, 4, 10]),
    causal=st.booleans(),
)
def test_lsh_equals_dense_attention_under_its_mask(
    seed, length, chunk_size, rounds, num_buckets, causal
):
  rng = np.random.default_rng(seed)
  ids = packed_segments(rng, BATCH + 1, length)
  inputs = [draw(rng, BATCH + 1, length, HEADS, HEAD_DIM) for _ in range(2)]
  shape = (BATCH + 1, HEADS, rounds, length)
  shared = dict(
      buckets=jnp.asarray(rng.integers(0, num_buckets, shape), jnp.int32),
      segment_ids=ids,
      chunk_size=chunk_size,
      causal=causal,
  )
  kernel = functools.partial(lsh_by_buckets, **shared)
  got = values_and_gradients(kernel, *inputs)
  want = values_and_gradients(functools.partial(oracle, **shared), *inputs)
  assert_close(got, want, 1e-5)
  assert np.all(np.asarray(got[0])[np.asarray(ids) == 0] == 0)


@pytest.mark.slow
@settings(max_examples=3)
@given(seed=st.integers(0, 10**6), causal=st.booleans())
def test_bfloat16_stays_near_the_oracle_in_float32(seed, causal):
  rng = np.random.default_rng(seed)
  ids = packed_segments(rng, BATCH + 1, 70)
  shape = (BATCH + 1, 70, HEADS, 16)
  inputs = [draw(rng, *shape, dtype=jnp.bfloat16) for _ in range(2)]
  buckets = rng.integers(0, 4, (BATCH + 1, HEADS, 2, 70))
  shared = dict(
      buckets=jnp.asarray(buckets, jnp.int32),
      segment_ids=ids,
      chunk_size=16,
      causal=causal,
  )
  got = values_and_gradients(
      functools.partial(lsh_by_buckets, **shared), *inputs
  )
  assert got[0].dtype == jnp.bfloat16
  want = values_and_gradients(
      functools.partial(oracle, **shared),
      *(x.astype(jnp.float32) for x in inputs),
  )
  # Unscaled scores reach 10, of which bfloat16 keeps the first decimal.
  assert_close(got, want, 0.25)


@pytest.mark.slow
def test_long_rows_whose_chunks_come_in_turn_equal_the_oracle():
  rng = np.random.default_rng(1)
  length = 2100
  ids = np.repeat([1, 2, 0, 3], [700, 900, 100, 400])[None]
  buckets = rng.integers(0, 32, (1, HEADS, 2, length))
  inputs = [draw(rng, 1, length, HEADS, 16) for _ in range(2)]
  shared = dict(
      buckets=jnp.asarray(buckets, jnp.int32),
      segment_ids=jnp.asarray(ids, jnp.int32),
      chunk_size=64,
      causal=False,
  )
  kernel = functools.partial(lsh_by_buckets, **shared)
  got = values_and_gradients(kernel, *inputs)
  want = values_and_gradients(functools.partial(oracle, **shared), *inputs)
  assert_close(got, want, 1e-5)


def chunks_by_hand(buckets, segment_ids, chunk_size):
  """The tokens of each chunk of each round: [round][chunk] -> offsets."""
  real = [i for i, number in enumerate(segment_ids) if number]
  padding = [i for i, number in enumerate(segment_ids) if not number]
  rounds = []
  for names in buckets:
    order = sorted(real, key=lambda i: (segment_ids[i], names[i], i)) + padding
    rounds.append([
        order[start : start + chunk_size]
        for start in range(0, len(order), chunk_size)
    ])
  return rounds


@pytest.mark.slow
@pytest.mark.parametrize(
    "ids", [[1] * 9 + [2] * 4 + [0] * 2 + [3] * 3 + [4], [1] * 19]
)
def test_the_mask_is_that_of_chunks_sorted_by_hand(ids):
  rng = np.random.default_rng(3)
  ids = np.asarray(ids)
  buckets = rng.integers(0, 3, (1, 1, 2, len(ids)))
  for causal in (False, True):
    want = np.zeros((len(ids), len(ids)), bool)
    for chunks in chunks_by_hand(buckets[0, 0], ids, 4):
      for number, chunk in enumerate(chunks):
        for i, j in itertools.product(chunk, chunks[number - 1] + chunk):
          want[i, j] |= (
              ids[i] == ids[j] != 0 and i != j and (j < i or not causal)
          )
    for i in np.flatnonzero(ids):
      want[i, i] = not want[i].any()
    got = bucket_mask(
        jnp.asarray(buckets), jnp.asarray(ids[None]), chunk_size=4,
        causal=causal,
    )  # fmt: skip
    np.testing.assert_array_equal(got[0, 0], want)


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
def test_faithful_counts_a_pair_as_often_as_it_meets(causal):
  """The authors' code by hand: the rounds as one long ring of chunks."""
  rng = np.random.default_rng(4)
  length, chunk_size = 24, 6
  x, value = rng.standard_normal((2, 1, length, 1, HEAD_DIM)).astype(np.float32)
  buckets = rng.integers(0, 4, (1, 1, 3, length))
  ids = np.ones(length, np.int32)
  chunks = sum(chunks_by_hand(buckets[0, 0], ids, chunk_size), [])
  keys = x[0, :, 0] / np.linalg.norm(x[0, :, 0], axis=-1, keepdims=True)
  want = np.zeros((length, HEAD_DIM))
  total = np.zeros((length, 1))
  for number, chunk in enumerate(chunks):
    for i, j in itertools.product(chunk, chunks[number - 1] + chunk):
      if i != j and (j < i or not causal):
        weight = np.exp(x[0, i, 0] @ keys[j])
        want[i] += weight * value[0, j, 0]
        total[i] += weight
  alone = total == 0
  want = np.where(alone, value[0, :, 0], want / np.where(alone, 1, total))
  shared = dict(
      buckets=jnp.asarray(buckets),
      segment_ids=jnp.asarray(ids[None]),
      chunk_size=chunk_size,
      causal=causal,
  )
  got = lsh_by_buckets(x, value, faithful=True, **shared)[0, :, 0]
  np.testing.assert_allclose(got, want, atol=1e-5)
  once = lsh_by_buckets(x, value, **shared)[0, :, 0]
  assert np.abs(once - want).max() > 0.01


@pytest.mark.slow
def test_a_token_that_sees_nobody_keeps_its_value():
  rng = np.random.default_rng(5)
  x, value = draw(rng, 2, 1, 6, 1, HEAD_DIM)
  ids = jnp.asarray([[1, 2, 2, 2, 0, 3]])
  buckets = jnp.zeros((1, 1, 2, 6), jnp.int32)
  out = lsh_by_buckets(
      x, value, buckets=buckets, segment_ids=ids, chunk_size=2
  )
  np.testing.assert_allclose(out[0, [0, 5]], value[0, [0, 5]], atol=1e-6)
  assert np.abs(out[0, 2] - value[0, 2]).max() > 0.01


@pytest.mark.slow
def test_a_row_of_one_chunk_is_attended_to_densely():
  rng = np.random.default_rng(6)
  x, value = draw(rng, 2, 1, 10, 1, HEAD_DIM)
  ids = jnp.ones((1, 10), jnp.int32)
  buckets = jnp.asarray(rng.integers(0, 9, (1, 1, 3, 10)), jnp.int32)
  key = x / jnp.linalg.norm(x, axis=-1, keepdims=True) * HEAD_DIM**0.5
  for chunk_size in (10, 64):
    out = lsh_by_buckets(
        x, value, buckets=buckets, segment_ids=ids, chunk_size=chunk_size
    )
    want = dense_attention(x, key, value, mask=~jnp.eye(10, dtype=bool))
    np.testing.assert_allclose(out, want, atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(chunk_size=0), "chunk_size 0"),
        (dict(chunk_size=4), r"order \(1, 1, 1, 6\).*chunk_size 4"),
        (dict(segment_ids=jnp.ones((1, 3), jnp.int32)), "shapes disagree"),
        (dict(order=Order(*jnp.zeros((2, 1, 2, 1, 6), int))), "disagree"),
    ],
)
def test_what_cannot_be_is_an_error(wrong, message):
  x = jnp.zeros((1, 5, 1, 2))
  ids = jnp.ones((1, 5), jnp.int32)
  order = sort_into_chunks(jnp.zeros((1, 1, 1, 5), jnp.int32), ids, 2)
  right = dict(segment_ids=ids, order=order, chunk_size=2)
  assert lsh_attention(x, x, **right).shape == x.shape
  with pytest.raises(ValueError, match=message):
    lsh_attention(x, x, **(right | wrong))


def test_buckets_of_other_rows_are_an_error():
  with pytest.raises(ValueError, match=r"buckets \(1, 1, 1, 4\), segment_ids"):
    sort_into_chunks(
        jnp.zeros((1, 1, 1, 4), int), jnp.ones((1, 3), int), chunk_size=2
    )


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
def test_gradients_of_faithful_rounds_are_those_of_the_formula(causal):
  """Pairs weighted by how often they meet: the authors' code, for jax.

  The rounds are one long ring of chunks; rows are packed and not whole chunks.
  """
  rng = np.random.default_rng(7)
  length, chunk_size, rounds = 27, 6, 3
  ids = jnp.asarray([[1] * 15 + [2] * 8 + [0] * 4])
  buckets = jnp.asarray(rng.integers(0, 4, (1, 1, rounds, length)), jnp.int32)
  meetings = np.zeros((length, length), np.float32)
  padded = np.pad(buckets[0, 0], ((0, 0), (0, 3)))
  chunks = sum(
      chunks_by_hand(padded, [*np.asarray(ids[0]), 0, 0, 0], chunk_size), []
  )
  for number, chunk in enumerate(chunks):
    for i, j in itertools.product(chunk, chunks[number - 1] + chunk):
      if max(i, j) < length and ids[0, i] == ids[0, j] != 0 and i != j:
        meetings[i, j] += j < i or not causal
  assert meetings.max() > 1
  for i in range(23):
    meetings[i, i] = not meetings[i].any()

  def formula(x, value):
    x, value = x[0, :, 0], value[0, :, 0]
    keys = x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-6)
    scores = x @ keys.T * HEAD_DIM**-0.5
    weights = jnp.where(meetings > 0, meetings * jnp.exp(scores), 0)
    total = weights.sum(-1, keepdims=True)
    return (weights @ value / jnp.where(total == 0, 1, total))[None, :, None]

  inputs = [draw(rng, 1, length, 1, HEAD_DIM) for _ in range(2)]
  kernel = functools.partial(
      lsh_by_buckets,
      buckets=buckets,
      segment_ids=ids,
      chunk_size=chunk_size,
      causal=causal,
      faithful=True,
  )
  assert_close(
      values_and_gradients(kernel, *inputs),
      values_and_gradients(formula, *inputs),
      1e-5,
  )
