"""Attention as accelerators run it, its rows on the devices that there are.

Prints, as JSON, of each kernel: operations on one device of all and on one that
is alone, whether devices exchange arrays, and the largest difference.
"""

import functools
import json
from unittest import mock

import jax
from jax.experimental import mesh_utils
import jax.numpy as jnp
import numpy as np

from behavior_lm.attention import chunk_plan
from behavior_lm.attention import tiled_dense
from behavior_lm.attention import tiles
from behavior_lm.attention.backends import attend
from behavior_lm.attention.spec import AttentionSpec
from tests.attention.comparing import hash_order

BATCH, LENGTH = 8, 192
SPECS = {
    "dense": AttentionSpec(),
    "sliding_window": AttentionSpec(
        "sliding_window", window_size=16, dilation=2, max_globals=2
    ),
    "lsh": AttentionSpec("lsh", chunk_size=16),
    "chunked": AttentionSpec("chunked", chunk_size=16),
}


def compare(spec: AttentionSpec) -> dict[str, float]:
  rng = np.random.default_rng(0)
  query, key, value = jnp.asarray(
      rng.standard_normal((3, BATCH, LENGTH, 2, 8)), jnp.float32
  )
  ids = jnp.asarray(rng.integers(1, 4, (BATCH, LENGTH)).cumsum(1) // 100 + 1)
  positions = jnp.broadcast_to(jnp.arange(LENGTH), ids.shape)
  hashes = spec.kind == "lsh"
  order = hash_order(spec, query, ids) if hashes else None

  def both(query, key, value, ids, positions, order):
    run = functools.partial(
        attend, segment_ids=ids, positions=positions, spec=spec, order=order
    )
    out, pull = jax.vjp(
        lambda q, k, v: run(q, None if hashes else k, v), query, key, value
    )
    return out, pull(jnp.cos(out))

  inputs = (query, key, value, ids, positions, order)
  alone = jax.jit(both).lower(*inputs).compile()
  mesh = jax.sharding.Mesh(
      mesh_utils.create_device_mesh((jax.device_count(),)), ("data",)
  )
  rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
  divided = jax.device_put(inputs, rows)
  together = jax.jit(both, out_shardings=rows).lower(*divided).compile()
  text = together.as_text()
  return {
      "alone": alone.cost_analysis()["flops"],
      "together": together.cost_analysis()["flops"],
      "loops": alone.as_text().count(" while("),
      "exchange": any(
          name in text for name in ("all-gather", "all-to-all", "all-reduce")
      ),
      "difference": max(
          float(np.abs(np.asarray(a) - np.asarray(b)).max())
          for a, b in zip(
              jax.tree.leaves(alone(*inputs)),
              jax.tree.leaves(together(*divided)),
              strict=True,
          )
      ),
  }


if __name__ == "__main__":
  # Rows as short as these in several steps, as long ones are.
  few = 20_000
  with (
      mock.patch.object(tiled_dense, "SCORES_AT_ONCE", few),
      mock.patch.object(tiles, "SCORES_AT_ONCE_ELSEWHERE", few),
      mock.patch.object(chunk_plan, "SCORES_AT_ONCE_ELSEWHERE", few),
      mock.patch.object(
          jax.lax,
          "platform_dependent",
          lambda *operands, cpu, default: default(*operands),
      ),
  ):
    print("RESULT", json.dumps({k: compare(v) for k, v in SPECS.items()}))
