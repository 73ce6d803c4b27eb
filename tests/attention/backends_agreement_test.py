"""Every kind of attention, through its one entry, against dense attention.

On random packed rows, in both types: what the tests of each kernel say with
settings of its own, said once of all.
"""

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.backends import attend
from behavior_lm.attention.backends import KERNELS
from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.lsh import sort_into_chunks
from behavior_lm.attention.masks import bucket_mask
from behavior_lm.attention.masks import chunk_mask
from behavior_lm.attention.masks import global_mask
from behavior_lm.attention.masks import window_mask
from behavior_lm.attention.sliding_window import bound_globals
from behavior_lm.attention.sliding_window import first_tokens
from behavior_lm.attention.spec import AttentionSpec
from tests.attention.comparing import draw
from tests.attention.comparing import hash_buckets
from tests.attention.comparing import packed_segments
from tests.attention.comparing import values_and_gradients

BATCH, HEADS, HEAD_DIM = 3, 2, 16
# bfloat16 rounds by 2 ** -9 of a number. Scores, weights, outputs and
# cotangents are rounded in turn, and an error of a score of size s counts s
# times: of what is largest in an array, the worst of 42 rows was 0.019.
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.04}

dense_specs = st.builds(AttentionSpec, causal=st.booleans())
window_specs = st.builds(
    AttentionSpec,
    kind=st.just("sliding_window"),
    causal=st.booleans(),
    window_size=st.sampled_from([1, 5, 64, 70, 300]),
    dilation=st.sampled_from([1, 1, 2, 3]),
    max_globals=st.sampled_from([0, 1, 4]),
)
lsh_specs = st.builds(
    AttentionSpec,
    kind=st.just("lsh"),
    causal=st.booleans(),
    num_hashes=st.integers(1, 4),
    chunk_size=st.sampled_from([1, 4, 16, 50, 128]),
    num_buckets=st.sampled_from([None, 2, 10, (2, 4)]),
)
chunked_specs = st.builds(
    AttentionSpec,
    kind=st.just("chunked"),
    causal=st.booleans(),
    chunk_size=st.sampled_from([1, 4, 16, 50, 128]),
)
SPECS = {
    "dense": dense_specs,
    "sliding_window": window_specs,
    "lsh": lsh_specs,
    "chunked": chunked_specs,
}


def oracle_mask(spec, ids):
  if spec.kind == "chunked":
    return chunk_mask(ids, spec.chunk_size, causal=spec.causal)
  if spec.kind == "sliding_window":
    first = bound_globals(first_tokens(ids), ids, spec.max_globals)
    mask = window_mask(
        ids, spec.window_size, dilation=spec.dilation, causal=spec.causal
    )
    return mask | global_mask(ids, first, causal=spec.causal)
  offsets = jnp.arange(ids.shape[1])[None]
  return segment_mask(ids, positions=offsets, causal=spec.causal)


def error(seed, length, spec, dtype, as_shipped=False):
  """The largest difference from float32's oracle, by what is largest in it."""
  rng = np.random.default_rng(seed)
  ids = packed_segments(rng, BATCH, length)
  count = 2 if spec.kind == "lsh" else 3
  vectors = [
      draw(rng, BATCH, length, HEADS, HEAD_DIM, dtype=dtype)
      for _ in range(count)
  ]

  order = None
  if spec.kind == "lsh":
    buckets = hash_buckets(spec, vectors[0])
    order = sort_into_chunks(buckets, ids, spec.chunk_size)
    mask = bucket_mask(
        buckets, ids, chunk_size=spec.chunk_size, causal=spec.causal
    )
  else:
    mask = oracle_mask(spec, ids)

  def kernel(query, *key_value):
    key, value = (None, *key_value) if count == 2 else key_value
    # Positions that rise within a segment, as offsets do.
    positions = jnp.broadcast_to(jnp.arange(length), ids.shape)
    return attend(
        query,
        key,
        value,
        segment_ids=ids,
        positions=positions,
        spec=spec,
        order=order,
    )

  def oracle(query, *key_value):
    if count == 2:
      squares = (query**2).mean(-1, keepdims=True)
      key_value = (query * jax.lax.rsqrt(squares + 1e-6), *key_value)
    return dense_attention(query, *key_value, mask=mask)

  got = values_and_gradients(kernel, *vectors, as_shipped=as_shipped)
  assert got[0].dtype == dtype
  assert np.all(np.asarray(got[0], np.float32)[np.asarray(ids) == 0] == 0)
  want = values_and_gradients(
      oracle, *(x.astype(jnp.float32) for x in vectors)
  )
  worst = 0.0
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
    a, b = np.asarray(a, np.float32), np.asarray(b)
    worst = max(worst, np.abs(a - b).max() / max(np.abs(b).max(), 1.0))
  return worst


def test_every_kind_is_compared_here():
  assert SPECS.keys() == KERNELS.keys()


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "rows"), [("float32", 6), ("bfloat16", 3)])
@pytest.mark.parametrize("kind", SPECS)
def test_attention_is_dense_attention_under_its_mask(kind, dtype, rows):
  @settings(max_examples=rows)
  @given(
      seed=st.integers(0, 10**6),
      length=st.sampled_from([1, 2, 31, 64, 129, 200]),
      spec=SPECS[kind],
  )
  def check(seed, length, spec):
    assert error(seed, length, spec, jnp.dtype(dtype)) < TOLERANCE[dtype]

  check()


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "settings_of_kind",
    [
        dict(kind="dense"),
        dict(kind="sliding_window", window_size=70, max_globals=4),
        dict(kind="sliding_window", window_size=5, dilation=3),
        dict(kind="lsh", chunk_size=16),
        dict(kind="chunked", chunk_size=50),
    ],
    ids=str,
)
def test_float32_compiled_as_it_ships_too(settings_of_kind, causal):
  """The other comparisons of float32 are compiled without optimisation."""
  spec = AttentionSpec(causal=causal, **settings_of_kind)
  assert error(7, 200, spec, jnp.float32, as_shipped=True) < 1e-5
