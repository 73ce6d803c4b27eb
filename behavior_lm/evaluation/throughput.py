"""Speed of the training step, beside the machine's own matrix products.

Absolute times mean little on shared machines; the ratio is measured in one
run, the two interleaved.
"""

from collections.abc import Callable
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from behavior_lm.data import schema
from behavior_lm.training import build
from behavior_lm.training.optim import make_optimizer
from behavior_lm.training.optim import make_schedule
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.sharding import put_batch
from behavior_lm.training.state import count_params
from behavior_lm.training.state import init_state
from behavior_lm.training.step import compile_step
from behavior_lm.training.step import make_train_step

# [m, k] @ [k, n]: large enough for the peak, small enough for the caches.
GEMM = (4096, 256, 1024)


def seconds_of(run: Callable[[], Any]) -> float:
  """Wall-clock seconds of one call, its results awaited."""
  started = time.perf_counter()
  jax.block_until_ready(run())
  return time.perf_counter() - started


def step_flops(
    config: ml_collections.ConfigDict, vocab_size: int, num_masked: int
) -> float:
  """Floating point operations of the matrix products of one training step.

  Two for each multiply-add, three times the forward pass (the backward pass
  makes two products for each). Counted: projections, attention, feed-forward
  and the head on masked positions; not counted: norms, softmax, the optimiser.
  Attention counts every pair of a row, as the dense kernel computes them.
  """
  model, data = config.model, config.data
  width, tokens = model.embed_dim, data.batch_size * data.max_length
  layer = 4 * width**2 + 2 * width * model.mlp_dim
  pairs = 2 * data.max_length * width
  trunk = tokens * model.num_layers * (layer + pairs)
  gate = tokens * width**2 if model.time_encoding == "gate" else 0
  head = num_masked * (width**2 + width * vocab_size)
  return 2.0 * 3.0 * (trunk + gate + head)


def measure_step(
    config: ml_collections.ConfigDict,
    *,
    vocab_size: int = 7_000,
    repeats: int = 15,
) -> dict[str, float]:
  """Tokens a second of a config's training step and its share of GEMM peak.

  Random tokens in full rows of one segment; the first two steps (compilation)
  are left out. Median over `repeats`, each step followed by one plain product.

  Returns:
    `tokens_per_second`, `step_ms`, `step_gflops` and `gemm_gflops` (billions a
    second), `share`, `num_params`.
  """
  mesh = make_mesh(config.mesh.data, config.mesh.model)
  objective = build.build_objective(config, vocab_size)
  schedule = make_schedule(learning_rate=1e-3, warmup_steps=1, total_steps=100)
  optimizer = make_optimizer(schedule)
  graphdef, state, shardings = init_state(
      build.build_model(config, vocab_size), optimizer, objective, 0, mesh
  )
  step = compile_step(
      make_train_step(graphdef, objective, optimizer, schedule, 0),
      shardings,
      mesh,
  )
  batch = put_batch(_full_rows(config, vocab_size), mesh)
  rows, inner, columns = GEMM
  rng = np.random.default_rng(0)
  left = jnp.asarray(rng.normal(size=(rows, inner)), jnp.float32)
  right = jnp.asarray(rng.normal(size=(inner, columns)), jnp.float32)
  product = jax.jit(jnp.matmul)
  num_params = count_params(state["params"])
  step_times, gemm_times = [], []
  for i in range(repeats + 2):
    started = time.perf_counter()
    state, metrics = step(state, batch)
    jax.block_until_ready(state)
    seconds = time.perf_counter() - started
    gemm = min(seconds_of(lambda: product(left, right)) for _ in range(5))
    if i >= 2:
      step_times.append(seconds)
      gemm_times.append(gemm)
  seconds = statistics.median(step_times)
  tokens = config.data.batch_size * config.data.max_length
  masked = round(float(metrics["mask_rate"] * metrics["num_events"]))
  flops = step_flops(config, vocab_size, masked)
  peak = 2.0 * rows * inner * columns / statistics.median(gemm_times)
  return {
      "tokens_per_second": tokens / seconds,
      "step_ms": 1e3 * seconds,
      "step_gflops": flops / seconds / 1e9,
      "gemm_gflops": peak / 1e9,
      "share": flops / seconds / peak,
      "num_params": num_params,
  }


def _full_rows(
    config: ml_collections.ConfigDict, vocab_size: int
) -> dict[str, np.ndarray]:
  shape = (config.data.batch_size, config.data.max_length)
  rng = np.random.default_rng(0)
  tokens = rng.integers(schema.NUM_SPECIAL, vocab_size, shape)
  tokens[:, 0] = schema.CLS_ID
  positions = np.broadcast_to(np.arange(shape[1]), shape)
  return {
      "tokens": tokens.astype(np.int32),
      "positions": positions.astype(np.int32),
      "segment_ids": np.ones(shape, np.int32),
      "time_gaps": rng.integers(0, 600, shape).astype(np.int32),
      "num_events": np.ones(shape, np.int32),
      "times": positions.astype(np.float32),
  }
