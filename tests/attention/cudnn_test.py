import functools

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.cudnn import call_limit
from behavior_lm.attention.cudnn import cudnn_attention
from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.device import Target
from tests.attention.comparing import assert_close
from tests.attention.comparing import draw
from tests.attention.comparing import packed_segments
from tests.attention.comparing import values_and_gradients

GPU = Target("cuda", capability=9.0)


def compare(seed, length, causal, dtype, implementation, atol):
  rng = np.random.default_rng(seed)
  ids = packed_segments(rng, 3, length)
  qkv = [draw(rng, 3, length, 2, 16, dtype=dtype) for _ in range(3)]
  got = values_and_gradients(
      functools.partial(
          cudnn_attention,
          segment_ids=ids,
          causal=causal,
          implementation=implementation,
      ),
      *qkv,
  )
  assert got[0].dtype == dtype
  assert np.all(np.asarray(got[0], np.float32)[np.asarray(ids) == 0] == 0)
  offsets = jnp.arange(length)[None]
  mask = segment_mask(ids, positions=offsets, causal=causal)
  want = values_and_gradients(
      functools.partial(dense_attention, mask=mask),
      *(x.astype(jnp.float32) for x in qkv),
  )
  assert_close(got, want, atol)


@pytest.mark.slow
@settings(max_examples=8)
@given(
    seed=st.integers(0, 10**6),
    length=st.sampled_from([1, 2, 63, 100]),
    causal=st.booleans(),
)
def test_what_it_asks_of_jax_is_attention_within_segments(
    seed, length, causal
):
  compare(seed, length, causal, jnp.float32, "xla", 1e-5)


def test_it_asks_for_cudnn_with_an_even_length(monkeypatch):
  asked = {}

  def recorded(query, key, value, **arguments):
    asked.update(arguments, shapes=[x.shape for x in (query, key, value)])
    return query

  monkeypatch.setattr(jax.nn, "dot_product_attention", recorded)
  x = jnp.ones((1, 5, 2, 8), jnp.bfloat16)
  ids = jnp.asarray([[1, 1, 2, 2, 0]])
  out = cudnn_attention(x, x, x, segment_ids=ids, causal=True)
  assert asked["implementation"] == "cudnn" and asked["is_causal"]
  assert asked["shapes"] == [(1, 6, 2, 8)] * 3
  assert asked["mask"].shape == (1, 1, 6, 6)
  # Padding sees padding: no row is left without a key.
  assert asked["mask"].any(-1).all()
  np.testing.assert_array_equal(out[0, :, 0, 0], [1, 1, 1, 1, 0])


@pytest.mark.skipif(
    jax.default_backend() == "gpu", reason="here is a GPU: it would run"
)
def test_without_a_gpu_jax_says_so():
  x = jnp.ones((1, 4, 1, 8), jnp.bfloat16)
  with pytest.raises(RuntimeError, match="cuDNN is not detected"):
    cudnn_attention(x, x, x, segment_ids=jnp.ones((1, 4), jnp.int32))


@pytest.mark.parametrize(
    ("dtype", "head_dim", "target", "reason"),
    [
        ("bfloat16", 64, GPU, ""),
        ("float16", 128, GPU, ""),
        ("float32", 64, GPU, "set dtype='bfloat16'"),
        ("bfloat16", 20, GPU, "head_dim 20 is not a multiple of 8"),
        ("bfloat16", 256, GPU, "up to 128"),
        ("bfloat16", 64, Target("cuda", capability=7.5), "this GPU has 7.5"),
    ],
)
def test_it_says_what_it_cannot_do(dtype, head_dim, target, reason):
  query = jax.ShapeDtypeStruct((1, 8, 2, head_dim), jnp.dtype(dtype))
  limit = call_limit(query, target)
  assert reason in limit and bool(reason) == bool(limit)


@pytest.mark.skipif(
    jax.default_backend() != "gpu",
    reason="no GPU: on one, JAX_PLATFORMS=cuda pytest tests/attention",
)
@pytest.mark.parametrize("length", [64, 101])
@pytest.mark.parametrize("causal", [False, True])
def test_a_gpu_agrees_with_dense_attention(length, causal):
  compare(0, length, causal, jnp.bfloat16, "cudnn", 0.05)
