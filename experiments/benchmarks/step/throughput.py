"""Speed of the training step, beside the machine's own matrix products.

Absolute times mean little on shared machines; the ratio is measured in one
run, the two interleaved.
"""

from collections.abc import Callable
import functools
import statistics
import time
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
import ml_collections
import numpy as np

from behavior_lm.logs import schema
from behavior_lm.recipes.pretrain import make_objective
from behavior_lm.recipes.shared.parts import language_model
from behavior_lm.training.optimizer import make_optimizer
from behavior_lm.training.optimizer import make_schedule
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.sharding import put_batch
from behavior_lm.training.state import count_params
from behavior_lm.training.state import init_state
from behavior_lm.training.state import TrainState
from behavior_lm.training.step import compile_step
from behavior_lm.training.step import make_train_step
from experiments.benchmarks.race.encoder_flops import forward_flops
from experiments.benchmarks.race.encoder_flops import TRAINING

# [m, k] @ [k, n]: large enough for the peak, small enough for the caches.
GEMM = (4096, 256, 1024)
GEMM_FLOPS = 2.0 * 4096 * 256 * 1024


def seconds_of(run: Callable[[], Any]) -> float:
  """Wall-clock seconds of one call, its results awaited."""
  started = time.perf_counter()
  jax.block_until_ready(run())
  return time.perf_counter() - started


def step_flops(
    config: ml_collections.ConfigDict, vocab_size: int, num_predicted: int
) -> float:
  """Floating point operations of the matrix products of one training step.

  It is three times what `encoder_flops.forward_flops` counts.
  """
  return TRAINING * forward_flops(
      abstract_model(language_model(config, vocab_size)),
      batch_size=config.data.batch_size,
      length=config.data.max_length,
      num_predicted=num_predicted,
  )


def abstract_model(make_model: Callable[..., Any]) -> Any:
  """The model's shapes; nothing is computed."""
  return nnx.eval_shape(lambda: make_model(rngs=nnx.Rngs(0)))


def prepare_step(
    make_model: Callable[..., Any],
    objective: Any,
    batch: dict[str, np.ndarray],
    mesh: Mesh,
) -> tuple[TrainState, Any, dict[str, jax.Array]]:
  """What a training run would do in each step, on a batch.

  Returns:
    the first state, the jitted step, and the batch on the devices.
  """
  schedule = make_schedule(
      learning_rate=1e-3, total_steps=100, warmup_share=0.01
  )
  optimizer = make_optimizer(schedule)
  graphdef, state, shardings = init_state(
      make_model, optimizer, objective, 0, mesh
  )
  step = compile_step(
      make_train_step(graphdef, objective, optimizer, schedule, 0),
      shardings,
      mesh,
  )
  return state, step, put_batch(batch, mesh)


def gemm_seconds(dtype: str = "float32") -> float:
  """Seconds of one plain product of `GEMM`'s shape, the best of five."""
  rows, inner, columns = GEMM
  left, right = _gemm_operands(rows, inner, columns, dtype)
  _product(left, right)  # compiled the first time
  return min(seconds_of(lambda: _product(left, right)) for _ in range(5))


_product = jax.jit(jnp.matmul)


@functools.cache
def _gemm_operands(
    rows: int, inner: int, columns: int, dtype: str
) -> tuple[jax.Array, jax.Array]:
  rng = np.random.default_rng(0)
  left = jnp.asarray(rng.normal(size=(rows, inner)), dtype)
  return left, jnp.asarray(rng.normal(size=(inner, columns)), dtype)


def measure_step(
    config: ml_collections.ConfigDict,
    *,
    vocab_size: int = 7_000,
    repeats: int = 15,
) -> dict[str, float]:
  """Tokens per second of a training step, and its share of the GEMM peak.

  Random tokens in full rows of one segment; the first two steps (compilation)
  are left out. Median over `repeats`, each step followed by one plain product
  of the config's type.

  Returns:
    `tokens_per_second`, `step_ms`, `step_gflops` and `gemm_gflops` (billions a
    second), `share`, `num_params`.
  """
  mesh = make_mesh(config.mesh.data, config.mesh.model)
  objective = make_objective(config, vocab_size)
  rows = full_rows(config.data.batch_size, config.data.max_length, vocab_size)
  state, step, batch = prepare_step(
      language_model(config, vocab_size), objective, rows, mesh
  )
  num_params = count_params(state["params"])
  step_times, gemm_times = [], []
  for i in range(repeats + 2):
    started = time.perf_counter()
    state, metrics = step(state, batch)
    jax.block_until_ready(state)
    seconds = time.perf_counter() - started
    gemm = gemm_seconds(config.model.dtype)
    if i >= 2:
      step_times.append(seconds)
      gemm_times.append(gemm)
  seconds = statistics.median(step_times)
  tokens = config.data.batch_size * config.data.max_length
  # Without masks the model predicts everywhere.
  predicted = tokens
  if "mask_rate" in metrics:
    num_events = (rows["tokens"] >= schema.NUM_SPECIAL).sum()
    predicted = round(float(metrics["mask_rate"]) * num_events)
  flops = step_flops(config, vocab_size, predicted)
  peak = GEMM_FLOPS / statistics.median(gemm_times)
  return {
      "tokens_per_second": tokens / seconds,
      "step_ms": 1e3 * seconds,
      "step_gflops": flops / seconds / 1e9,
      "gemm_gflops": peak / 1e9,
      "share": flops / seconds / peak,
      "num_params": num_params,
  }


def full_rows(
    batch_size: int, length: int, vocab_size: int
) -> dict[str, np.ndarray]:
  """A batch of random tokens: each row one segment, no padding."""
  shape = (batch_size, length)
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
