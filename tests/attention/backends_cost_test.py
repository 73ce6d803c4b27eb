"""What attention costs by length, counted by the compiler: nothing runs."""

from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention import tiles
from behavior_lm.attention.backends import attend
from behavior_lm.attention.spec import AttentionSpec
from tests.attention.comparing import hash_order

LENGTHS = (1024, 32_768)
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
      hashes = spec.kind == "lsh"
      return attend(
          query,
          None if hashes else key,
          value,
          segment_ids=segment_ids,
          positions=positions,
          spec=spec,
          order=hash_order(spec, query, segment_ids) if hashes else None,
      )

    out, pull = jax.vjp(run, query, key, value)
    return out, pull(out)

  # Beyond 1 GB of scores the program for TPU loops too, and a loop's body
  # counts once.
  with mock.patch.object(tiles, "SCORES_AT_ONCE_ELSEWHERE", 2**40):
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
def test_the_work_of_dense_attention_is_quadratic_and_would_fail():
  """Its memory is not: scores exist a tile at a time."""
  flops, memory = exponents([cost(AttentionSpec(), n) for n in LENGTHS])
  assert flops > 1.9 and memory <= LINEAR


@pytest.mark.slow
def test_a_window_twice_as_wide_is_twice_the_work():
  windows = (64, 128, 256)
  costs = [
      cost(AttentionSpec("sliding_window", window_size=window), 4096)
      for window in windows
  ]
  flops, memory = np.transpose(costs)
  assert np.all(np.abs(flops[1:] / flops[:-1] - 2) < 0.15)
  # A block is as long as the window, so that a key lies in three stretches
  # however wide it is; scores exist a tile at a time.
  assert memory.max() < 2 * memory.min()


@pytest.mark.slow
def test_more_rounds_and_longer_chunks_cost_more():
  base = cost(AttentionSpec("lsh", num_hashes=2, chunk_size=64), 4096)
  rounds = cost(AttentionSpec("lsh", num_hashes=4, chunk_size=64), 4096)
  chunks = cost(AttentionSpec("lsh", num_hashes=2, chunk_size=128), 4096)
  for flops in (rounds[0] / base[0], chunks[0] / base[0]):
    assert 1.6 < flops < 2.4
  # Each round keeps what it found; longer chunks find no more.
  assert 1.2 < rounds[1] / base[1] < 2.4 and chunks[1] / base[1] < 1.2
