"""What attention costs by length, counted by the compiler: nothing runs."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.backends import attend
from behavior_lm.attention.backends import AttentionSpec

LENGTHS = (1024, 8192, 32_768)
LINEAR = 1.1


def cost(spec, length):
  """FLOPs and bytes of scratch memory of a forward and a backward pass.

  On CPU kernels loop over blocks, and the compiler counts the body of a loop
  once. So FLOPs are those of the program for TPU, which does the same products
  without a loop.
  """
  vectors = jax.ShapeDtypeStruct((1, length, 2, 32), jnp.float32)
  ids = jax.ShapeDtypeStruct((1, length), jnp.int32)

  def both(query, key, value, segment_ids, positions):
    def run(query, key, value):
      return attend(
          query,
          None if spec.kind == "lsh" else key,
          value,
          segment_ids=segment_ids,
          positions=positions,
          spec=spec,
      )

    out, pull = jax.vjp(run, query, key, value)
    return out, pull(out)

  traced = jax.jit(both).trace(vectors, vectors, vectors, ids, ids)
  whole = traced.lower(lowering_platforms=("tpu",))
  memory = traced.lower().compile().memory_analysis()
  return np.asarray([
      whole.cost_analysis()["flops"], memory.temp_size_in_bytes
  ])


def exponents(costs):
  """How FLOPs and memory grow with the length: 1 is linear, 2 quadratic."""
  return np.polyfit(np.log(LENGTHS), np.log(costs), 1)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        dict(kind="sliding_window", window_size=64),
        dict(kind="sliding_window", window_size=64, dilation=3, causal=True),
        dict(kind="sliding_window", window_size=64, max_globals=16),
        dict(kind="lsh", num_hashes=2),
        dict(kind="lsh", num_hashes=2, causal=True, faithful=True),
    ],
    ids=str,
)
def test_the_cost_is_linear_in_the_length(settings):
  costs = [cost(AttentionSpec(**settings), length) for length in LENGTHS]
  flops, memory = exponents(costs)
  assert 0.9 < flops <= LINEAR and 0.8 < memory <= LINEAR


@pytest.mark.slow
def test_dense_attention_is_quadratic_and_would_fail():
  flops, memory = exponents([cost(AttentionSpec(), n) for n in LENGTHS])
  assert flops > 1.9 and memory > 1.9


@pytest.mark.slow
def test_a_wider_window_costs_more_and_a_narrower_one_less():
  windows = (64, 128, 256, 512)
  costs = [
      cost(AttentionSpec("sliding_window", window_size=window), 4096)
      for window in windows
  ]
  flops, memory = (np.diff(np.log(costs), axis=0) / math.log(2)).T
  assert np.all(flops > 0.9) and np.all(flops < 1.1)
  # Queries, keys and values lie in memory whatever the window.
  assert np.all(memory > 0.05) and np.all(memory < 1.1)


@pytest.mark.slow
def test_more_rounds_and_longer_chunks_cost_more():
  base = cost(AttentionSpec("lsh", num_hashes=2, chunk_size=64), 4096)
  rounds = cost(AttentionSpec("lsh", num_hashes=4, chunk_size=64), 4096)
  chunks = cost(AttentionSpec("lsh", num_hashes=2, chunk_size=128), 4096)
  assert np.all(rounds / base > 1.6) and np.all(rounds / base < 2.4)
  assert np.all(chunks / base > 1.05) and np.all(chunks / base < 2.4)
