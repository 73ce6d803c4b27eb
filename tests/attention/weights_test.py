import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.backends import attend
from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.attention.weights import kernel_weights
from tests.attention.comparing import draw
from tests.attention.comparing import hash_order

SHAPE = (1, 22, 2, 4)
ROW = dict(
    segment_ids=jnp.asarray([[1] * 11 + [2] * 8 + [0] * 3]),
    positions=jnp.asarray([[*range(11), *range(8), 0, 0, 0]]),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec",
    [
        AttentionSpec("dense", causal=True),
        AttentionSpec("sliding_window", window_size=2, max_globals=2),
        AttentionSpec("lsh", chunk_size=6, num_hashes=2),
    ],
    ids=lambda spec: spec.kind,
)
def test_a_kernel_gives_its_weights_times_the_values(spec):
  rng = np.random.default_rng(0)
  query, key, value = (draw(rng, *SHAPE) for _ in range(3))
  of_lsh = spec.kind == "lsh"
  order = hash_order(spec, query, ROW["segment_ids"]) if of_lsh else None
  mix = jax.jit(
      functools.partial(
          attend, query, None if of_lsh else key, spec=spec, order=order, **ROW
      )
  )
  weights = kernel_weights(mix, SHAPE)
  assert weights.shape == (1, 2, 22, 22)
  got = jnp.einsum("bhqk,bkhd->bqhd", weights, value)
  np.testing.assert_allclose(got, mix(value), atol=1e-5)
  want = np.broadcast_to(ROW["segment_ids"] > 0, (1, 2, 22))
  np.testing.assert_allclose(weights.sum(-1), want, atol=1e-5)
