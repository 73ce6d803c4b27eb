import functools

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.device import Target
from behavior_lm.attention.masks import window_mask
from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.attention.splash import call_limit
from behavior_lm.attention.splash import spec_limit
from behavior_lm.attention.splash import splash_attention
from behavior_lm.attention.splash import splash_mask
from tests.attention.comparing import assert_close
from tests.attention.comparing import draw
from tests.attention.comparing import packed_segments
from tests.attention.comparing import values_and_gradients

BATCH, HEADS, HEAD_DIM = 3, 2, 16


def oracle_mask(segment_ids, causal, window_size):
  if window_size is not None:
    return window_mask(segment_ids, window_size, causal=causal)
  offsets = jnp.arange(segment_ids.shape[1])[None]
  return segment_mask(segment_ids, positions=offsets, causal=causal)


def compare(seed, length, causal, window_size, dtype, atol):
  """Interpreted Splash against dense attention in float32."""
  rng = np.random.default_rng(seed)
  ids = packed_segments(rng, BATCH, length)
  qkv = [
      draw(rng, BATCH, length, HEADS, HEAD_DIM, dtype=dtype) for _ in range(3)
  ]
  got = values_and_gradients(
      functools.partial(
          splash_attention,
          segment_ids=ids,
          causal=causal,
          window_size=window_size,
          interpret=True,
      ),
      *qkv,
  )
  assert got[0].dtype == dtype
  assert np.all(np.asarray(got[0], np.float32)[np.asarray(ids) == 0] == 0)
  mask = oracle_mask(ids, causal, window_size)
  want = values_and_gradients(
      functools.partial(dense_attention, mask=mask),
      *(x.astype(jnp.float32) for x in qkv),
  )
  assert_close(got, want, atol)


@pytest.mark.parametrize("length", [128, 256, 640])
@pytest.mark.parametrize("window_size", [None, 1, 5, 128, 200, 700])
@pytest.mark.parametrize("causal", [False, True])
def test_its_mask_is_that_of_the_oracle(length, window_size, causal):
  mask = splash_mask(length, causal, window_size)
  one_segment = jnp.ones((1, length), jnp.int32)
  want = oracle_mask(one_segment, causal, window_size)[0, 0]
  np.testing.assert_array_equal(mask[:, :], want)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "causal", "window_size"),
    [(7, True, None), (150, False, 20)],
)
def test_interpreted_it_equals_dense_attention(length, causal, window_size):
  compare(0, length, causal, window_size, jnp.float32, 1e-5)


@pytest.mark.slow
@settings(max_examples=10)
@given(
    seed=st.integers(0, 10**6),
    # Of one block and of several, with and without filling.
    length=st.sampled_from([1, 100, 129, 300, 640]),
    causal=st.booleans(),
    window_size=st.sampled_from([None, 1, 30, 128, 150, 1000]),
)
def test_any_row_interpreted_equals_dense_attention(
    seed, length, causal, window_size
):
  compare(seed, length, causal, window_size, jnp.float32, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "causal", "window_size"),
    [(200, False, None), (640, True, None), (300, False, 30)],
)
def test_bfloat16_interpreted_stays_near_float32(length, causal, window_size):
  # Inputs of size 1 keep 8 bits: 0.004 each way; the worst seen is 0.014.
  compare(1, length, causal, window_size, jnp.bfloat16, 0.03)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(
    ("length", "causal", "window_size"),
    [(1000, False, None), (1000, True, None), (1000, False, 128)],
)
def test_values_and_gradients_lower_for_a_tpu(
    length, causal, window_size, dtype
):
  vectors = jax.ShapeDtypeStruct((2, length, 4, 64), dtype)
  ids = jax.ShapeDtypeStruct((2, length), jnp.int32)

  def both(query, key, value, segment_ids):
    run = functools.partial(
        splash_attention,
        segment_ids=segment_ids,
        causal=causal,
        window_size=window_size,
    )
    out, pull = jax.vjp(run, query, key, value)
    return out, pull(out)

  program = jax.export.export(jax.jit(both), platforms=["tpu"])(
      vectors, vectors, vectors, ids
  )
  # Values, the gradient of queries, that of keys and values; no score of a
  # whole row outside them.
  text = program.mlir_module()
  assert text.count("@tpu_custom_call") == 3
  assert "1024x1024" not in text
  assert [x.shape for x in program.out_avals] == [vectors.shape] * 4


def test_it_says_what_it_cannot_do():
  window = functools.partial(AttentionSpec, "sliding_window", window_size=3)
  assert spec_limit(window()) == spec_limit(AttentionSpec(causal=True)) == ""
  assert "max_globals=2" in spec_limit(window(max_globals=2))
  assert "dilation=2" in spec_limit(window(dilation=2))
  query = jax.ShapeDtypeStruct((1, 8, 2, 4), jnp.float32)
  assert call_limit(query, Target("tpu")) == ""
  assert "among 4 devices" in call_limit(query, Target("tpu", 4))
  query = jax.ShapeDtypeStruct((1, 8, 2, 4), jnp.float16)
  assert "not float16" in call_limit(query, Target("tpu"))


def test_a_wrong_type_or_shape_is_an_error():
  x, ids = jnp.zeros((1, 4, 1, 2), jnp.float16), jnp.ones((1, 4), jnp.int32)
  with pytest.raises(ValueError, match="float16"):
    splash_attention(x, x, x, segment_ids=ids)
  with pytest.raises(ValueError, match="shapes disagree"):
    splash_attention(x, x[:, :2], x, segment_ids=ids)


@pytest.mark.skipif(
    jax.default_backend() != "tpu",
    reason="no TPU: on one, JAX_PLATFORMS=tpu pytest tests/attention",
)
def test_a_tpu_agrees_with_dense_attention():
  rng = np.random.default_rng(0)
  ids = packed_segments(rng, BATCH, 700)
  qkv = [draw(rng, BATCH, 700, HEADS, 64) for _ in range(3)]
  with jax.default_matmul_precision("highest"):
    for causal, window_size in [(False, None), (True, None), (False, 100)]:
      got = values_and_gradients(
          functools.partial(
              splash_attention,
              segment_ids=ids,
              causal=causal,
              window_size=window_size,
          ),
          *qkv,
      )
      mask = oracle_mask(ids, causal, window_size)
      want = values_and_gradients(
          functools.partial(dense_attention, mask=mask), *qkv
      )
      # The kernel's products may be those of bfloat16.
      assert_close(got, want, 0.03)
