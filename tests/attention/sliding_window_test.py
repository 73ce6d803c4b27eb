import functools

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.masks import global_mask
from behavior_lm.attention.masks import window_mask
from behavior_lm.attention.sliding_window import attend_globally
from behavior_lm.attention.sliding_window import bound_globals
from behavior_lm.attention.sliding_window import first_tokens
from behavior_lm.attention.sliding_window import global_offsets
from behavior_lm.attention.sliding_window import sliding_window_attention
from behavior_lm.common.rows import take_rows
from tests.attention.comparing import assert_close
from tests.attention.comparing import draw
from tests.attention.comparing import packed_segments
from tests.attention.comparing import values_and_gradients

BATCH, HEADS, HEAD_DIM = 3, 2, 4


def oracle(qkv, own, *, segment_ids, global_tokens, causal, **window):
  """Dense attention under the masks that the kernel's docstring names."""
  globals_ = global_mask(segment_ids, global_tokens, causal=causal)
  mask = window_mask(segment_ids, causal=causal, **window) | globals_
  out = dense_attention(*qkv, mask=mask)
  if own is None:
    return out
  mask = segment_mask(segment_ids) & globals_
  return jnp.where(
      global_tokens[:, :, None, None], dense_attention(*own, mask=mask), out
  )


@pytest.mark.slow
@settings(max_examples=8)
@given(
    seed=st.integers(0, 10**6),
    length=st.sampled_from([1, 31, 129, 200]),
    window_size=st.sampled_from([1, 5, 64, 70, 300]),
    dilation=st.sampled_from([1, 1, 2, 3]),
    causal=st.booleans(),
    max_globals=st.sampled_from([0, 1, 4]),
    own=st.booleans(),
)
def test_the_window_equals_dense_attention_under_its_mask(
    seed, length, window_size, dilation, causal, max_globals, own
):
  rng = np.random.default_rng(seed)
  ids = packed_segments(rng, BATCH, length)
  tokens = jnp.asarray(rng.random((BATCH, length)) < 3 / length)
  tokens = tokens if max_globals else jnp.zeros_like(tokens)
  kept = bound_globals(tokens, ids, max_globals)
  shape = (BATCH, length, HEADS, HEAD_DIM)
  inputs = {"qkv": [draw(rng, *shape) for _ in range(3)]}
  if own and max_globals:
    inputs["own"] = [draw(rng, *shape) for _ in range(3)]
  shared = dict(
      segment_ids=ids,
      window_size=window_size,
      dilation=dilation,
      causal=causal,
  )

  def kernel(inputs):
    own = None
    if "own" in inputs:
      query, key, value = inputs["own"]
      offsets = global_offsets(kept, max_globals)
      query = take_rows(query, offsets) * HEAD_DIM**-0.5
      own = attend_globally(query, key, value, ids, offsets, causal)
    return sliding_window_attention(
        *inputs["qkv"],
        global_tokens=tokens if max_globals else None,
        max_globals=max_globals,
        global_outputs=own,
        **shared,
    )

  def dense(inputs):
    own = inputs.get("own")
    return oracle(inputs["qkv"], own, global_tokens=kept, **shared)

  got = values_and_gradients(kernel, inputs)
  assert_close(got, values_and_gradients(dense, inputs), 1e-5)
  assert np.all(np.asarray(got[0])[np.asarray(ids) == 0] == 0)


@pytest.mark.slow
@settings(max_examples=4)
@given(
    seed=st.integers(0, 10**6),
    length=st.sampled_from([3, 100, 200]),
    causal=st.booleans(),
)
def test_bfloat16_stays_near_the_oracle_in_float32(seed, length, causal):
  rng = np.random.default_rng(seed)
  ids = packed_segments(rng, BATCH, length)
  qkv = [
      draw(rng, BATCH, length, HEADS, 16, dtype=jnp.bfloat16)
      for _ in range(3)
  ]
  shared = dict(segment_ids=ids, window_size=20, causal=causal)
  got = values_and_gradients(
      lambda qkv: sliding_window_attention(*qkv, max_globals=4, **shared), qkv
  )
  assert got[0].dtype == jnp.bfloat16
  first = bound_globals(first_tokens(ids), ids, 4)
  want = values_and_gradients(
      lambda qkv: oracle(
          qkv, None, global_tokens=first, dilation=1, **shared
      ),
      [x.astype(jnp.float32) for x in qkv],
  )
  assert_close(got, want, 0.08)


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
def test_long_rows_whose_blocks_come_in_turn_equal_the_oracle(causal):
  rng = np.random.default_rng(1)
  length = 2100
  ids = jnp.asarray(
      np.repeat([1, 2, 0, 3], [700, 900, 100, 400])[None], jnp.int32
  )
  qkv = [draw(rng, 1, length, 3, 16) for _ in range(3)]
  shared = dict(segment_ids=ids, window_size=64, causal=causal)
  got = values_and_gradients(
      lambda qkv: sliding_window_attention(*qkv, max_globals=8, **shared), qkv
  )
  want = values_and_gradients(
      lambda qkv: oracle(
          qkv, None, global_tokens=first_tokens(ids), dilation=1, **shared
      ),
      qkv,
  )
  assert_close(got, want, 1e-5)


def test_the_mask_is_the_window_counted_by_hand():
  ids = np.asarray([[1, 1, 1, 1, 1, 2, 2, 0, 3, 0]])
  tokens = np.asarray([[0, 0, 0, 1, 0, 0, 1, 1, 0, 0]], bool)
  for window_size, dilation, causal in [
      (1, 1, False), (2, 1, True), (1, 2, False), (2, 2, True)
  ]:  # fmt: skip
    near = window_mask(ids, window_size, dilation=dilation, causal=causal)
    far = global_mask(ids, tokens, causal=causal)
    steps = {n * dilation for n in range(-window_size, window_size + 1)}
    for i, j in np.ndindex(10, 10):
      allowed = ids[0, i] == ids[0, j] != 0 and (j <= i or not causal)
      assert near[0, 0, i, j] == (allowed and i - j in steps)
      assert far[0, 0, i, j] == (allowed and (tokens[0, i] or tokens[0, j]))


def test_first_tokens_are_where_segments_start():
  ids = jnp.asarray([[1, 1, 2, 3, 3, 0, 0], [0, 0, 4, 4, 0, 4, 5]])
  want = [[1, 0, 1, 1, 0, 0, 0], [0, 0, 1, 0, 0, 1, 1]]
  np.testing.assert_array_equal(first_tokens(ids), np.asarray(want, bool))


def test_offsets_name_the_globals_in_order_and_nothing_else():
  tokens = jnp.asarray([[0, 1, 0, 1], [0, 0, 0, 0]], bool)
  np.testing.assert_array_equal(
      global_offsets(tokens, 3), [[1, 3, 4], [4, 4, 4]]
  )


@pytest.mark.slow
def test_another_segment_or_a_far_token_changes_nothing():
  rng = np.random.default_rng(0)
  length = 160
  ids = jnp.asarray(np.repeat([[1, 2]], length // 2, axis=1))
  qkv = [draw(rng, 1, length, HEADS, HEAD_DIM) for _ in range(3)]
  run = functools.partial(
      sliding_window_attention, segment_ids=ids, window_size=3, max_globals=2
  )
  before = run(*qkv)
  after = run(*(x.at[:, 100].add(5.0) for x in qkv))
  changed = np.asarray(jnp.any(before != after, (0, 2, 3)))
  # Its window, and the first token of its segment, which sees all of it.
  assert set(np.flatnonzero(changed)) == {80, *range(97, 104)}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(window_size=0), "window_size 0"),
        (dict(dilation=0), "dilation 0"),
        (dict(global_tokens=jnp.ones((1, 4), bool)), "max_globals is 0"),
        (dict(segment_ids=jnp.ones((1, 3), jnp.int32)), "shapes disagree"),
    ],
)
def test_what_cannot_be_is_an_error(wrong, message):
  x = jnp.zeros((1, 4, 1, 2))
  right = dict(segment_ids=jnp.ones((1, 4), jnp.int32), window_size=2)
  with pytest.raises(ValueError, match=message):
    sliding_window_attention(x, x, x, **(right | wrong))
