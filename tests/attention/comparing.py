"""What tests of kernels share: packed rows, random arrays, gradients."""

from collections.abc import Callable
import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.attention.hashing import draw_rotations
from behavior_lm.attention.hashing import FIXED_SEED
from behavior_lm.attention.hashing import hash_vectors
from behavior_lm.attention.hashing import Order
from behavior_lm.attention.lsh import lsh_attention
from behavior_lm.attention.lsh import sort_into_chunks
from behavior_lm.attention.spec import AttentionSpec


def packed_segments(rng, batch: int, length: int) -> jax.Array:
  """Segments of random sizes, padding anywhere, one row all padding."""
  ids = np.zeros((batch, length), np.int32)
  for row in range(batch - 1):
    cuts = np.sort(rng.integers(0, length + 1, rng.integers(1, 6)))
    for number, span in enumerate(itertools.pairwise([0, *cuts, length])):
      ids[row, slice(*span)] = (number + 1) * (rng.random() < 0.8)
  return jnp.asarray(ids)


def draw(rng, *shape: int, dtype: Any = jnp.float32) -> jax.Array:
  return jnp.asarray(rng.standard_normal(shape), dtype)


def hash_buckets(
    spec: AttentionSpec, query: jax.Array, seed: int = FIXED_SEED
) -> jax.Array:
  """[batch, heads, rounds, length], as a layer with this spec hashes."""
  length, num_heads, head_dim = query.shape[1:]
  num_buckets = spec.buckets(length)
  rotations = draw_rotations(
      jax.random.key(seed),
      num_heads=num_heads,
      head_dim=head_dim,
      num_hashes=spec.num_hashes,
      num_buckets=num_buckets,
  )
  return hash_vectors(query, rotations, num_buckets)


def hash_order(
    spec: AttentionSpec,
    query: jax.Array,
    segment_ids: jax.Array,
    seed: int = FIXED_SEED,
) -> Order:
  """What `attend` needs for LSH."""
  buckets = hash_buckets(spec, query, seed)
  return sort_into_chunks(buckets, segment_ids, spec.chunk_size)


def lsh_by_buckets(
    query_key: jax.Array,
    value: jax.Array,
    *,
    buckets: jax.Array,
    segment_ids: jax.Array,
    chunk_size: int,
    **more: bool,
) -> jax.Array:
  """`lsh_attention`, sorted first."""
  return lsh_attention(
      query_key,
      value,
      order=sort_into_chunks(buckets, segment_ids, chunk_size),
      segment_ids=segment_ids,
      chunk_size=chunk_size,
      **more,
  )


def values_and_gradients(
    run: Callable[..., jax.Array], *inputs: Any, as_shipped: bool = False
) -> tuple[jax.Array, Any]:
  """One compiled program: what `run` returns and its gradients.

  Unoptimised, unless `as_shipped`: these programs are compiled once for each
  example of a property test. Products of bfloat16 into float32 run optimised
  only.
  """
  plain = jax.tree.leaves(inputs)[0].dtype == jnp.float32 and not as_shipped
  options = {"xla_backend_optimization_level": 0} if plain else None

  @functools.partial(jax.jit, compiler_options=options)
  def both(*inputs):
    out, pull = jax.vjp(run, *inputs)
    # Uneven, so that no cotangent cancels another.
    cotangent = jnp.cos(jnp.arange(out.size, dtype=jnp.float32))
    return out, pull(cotangent.reshape(out.shape).astype(out.dtype))

  return both(*inputs)


def assert_close(got: Any, want: Any, atol: float) -> None:
  """Of arrays in the same trees, whatever their types."""
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(
          np.asarray(a, np.float32), np.asarray(b, np.float32), atol=atol
      ),
      got,
      want,
  )


def worst(got: Any, want: Any) -> float:
  """The largest difference between arrays in the same trees."""
  differences = jax.tree.map(
      lambda a, b: np.abs(
          np.asarray(a, np.float32) - np.asarray(b, np.float32)
      ).max(initial=0.0),
      got,
      want,
  )
  return max(map(float, jax.tree.leaves(differences)))
