"""Runs every compiled program that ships once, and saves what it returns.

A process of its own, run twice by numerics_test.py: XLA reads its flags once.

  python tests/numerics_programs.py OUT.npz

The shapes are those of the size `small`: the known miscompile spares small
arrays. An array of OUT.npz is named PROGRAM:PATH/TO/LEAF.
"""

from collections.abc import Callable
import functools
import itertools
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.attention.backends import attend
from behavior_lm.attention.backends import AttentionSpec
from behavior_lm.attention.backends import KERNELS
from behavior_lm.evaluation.masked_perplexity import _make_score as make_score
from behavior_lm.layers.time_encoding import TIME_ENCODINGS
from behavior_lm.models import MODELS
from behavior_lm.objectives import OBJECTIVES
from behavior_lm.training import build
from behavior_lm.training.optim import make_optimizer
from behavior_lm.training.optim import make_schedule
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import init_state
from behavior_lm.training.state import merge_model
from behavior_lm.training.step import compile_step
from behavior_lm.training.step import make_train_step
from configs.pretrain import BATCHES
from configs.pretrain import get_config
from configs.pretrain import LENGTHS
from configs.pretrain import SIZES

KNOWN_MISCOMPILE = "known miscompile"
SIZE = "small"
BATCH, LENGTH = BATCHES[SIZE], LENGTHS[SIZE]
VOCAB_SIZE = 7_000


def random_batch() -> dict[str, np.ndarray]:
  """Packed rows [BATCH, LENGTH]: three segments, then some padding."""
  rng = np.random.default_rng(0)
  shape = (BATCH, LENGTH)
  cuts = np.sort(rng.integers(1, LENGTH, (BATCH, 3)), axis=1)
  offsets = np.arange(LENGTH)
  before = (offsets >= cuts[..., None]).sum(1)
  starts = np.pad(cuts, ((0, 0), (1, 0)))
  segment_ids = np.where(before < 3, before + 1, 0)
  real = segment_ids > 0
  positions = offsets - np.take_along_axis(starts, before, 1)
  gaps = rng.geometric(0.05, shape) - 1
  return {
      "tokens": np.where(real, rng.integers(5, VOCAB_SIZE, shape), 0).astype(
          np.int32
      ),
      "positions": np.where(real, positions, 0).astype(np.int32),
      "segment_ids": segment_ids.astype(np.int32),
      "time_gaps": np.where(real, gaps, -1).astype(np.int32),
  }


def miscompile() -> jax.Array:
  """Garbage with jaxlib 0.12.0.1: a broadcast made inside feeds a dot."""
  x = np.random.default_rng(0).standard_normal((64, 512), np.float32)
  return jax.jit(lambda x: (x @ jnp.ones((512, 512))).sum(1))(x)


def kernel(kind: str, causal: bool) -> dict[str, Any]:
  """Values and gradients of an attention kernel."""
  heads = SIZES[SIZE]["num_heads"]
  shape = (4, BATCH, LENGTH, heads, SIZES[SIZE]["embed_dim"] // heads)
  rng = np.random.default_rng(1)
  *qkv, cotangent = rng.standard_normal(shape, np.float32)
  batch = random_batch()
  run = functools.partial(
      attend,
      segment_ids=batch["segment_ids"],
      positions=batch["positions"],
      spec=AttentionSpec(kind=kind, causal=causal),
      key_rng=jax.random.key(0),
  )

  def gradients(qkv: list[jax.Array], cotangent: jax.Array) -> Any:
    return jax.vjp(run, *qkv)[1](cotangent)

  return {
      "values": jax.jit(run)(*qkv),
      "gradients": jax.jit(gradients)(qkv, cotangent),
  }


def model_programs(
    name: str, time_encoding: str, dtype: str, objective_name: str
) -> dict[str, Any]:
  """Hidden states, evaluation, and what one training step leaves behind.

  Of the new state the moments are kept (they are the gradients, scaled) but
  not the parameters: Adam's first step is the SIGN of a gradient, which turns
  the rounding of a zero into a full step.
  """
  config = get_config(f"model={name},size={SIZE},time={time_encoding}")
  config.model.dtype = dtype
  config.model.dropout_rate = 0.1
  config.objective.name = objective_name
  objective = build.build_objective(config, VOCAB_SIZE)
  schedule = make_schedule(learning_rate=1e-3, warmup_steps=1, total_steps=9)
  optimizer = make_optimizer(schedule)
  mesh = make_mesh()
  graphdef, state, shardings = init_state(
      build.build_model(config, VOCAB_SIZE),
      optimizer,
      objective,
      seed=0,
      mesh=mesh,
  )
  batch = random_batch()
  at = np.tile(np.arange(32, dtype=np.int32), (BATCH, 1))
  targets = {"at": at, "tokens": np.maximum(batch["tokens"][:, :32], 5)}
  forward = jax.jit(lambda params, b: merge_model(graphdef, params)(b))
  score = jax.jit(make_score(graphdef))
  step = compile_step(
      make_train_step(graphdef, objective, optimizer, schedule, seed=0),
      shardings,
      mesh,
  )
  outputs = forward(state["params"], batch)
  scores = score(state["params"], batch, targets)
  state, metrics = step(state, batch)
  return {
      "forward": outputs,
      "nll": scores[0],
      "metrics": metrics,
      "moments": state["opt_state"],
      "objective_state": state["objective_state"],
  }


def programs() -> dict[str, Callable[[], Any]]:
  found: dict[str, Callable[[], Any]] = {KNOWN_MISCOMPILE: miscompile}
  for kind in KERNELS:
    for causal in (False, True):
      name = f"{kind} attention, causal={causal}, float32"
      found[name] = functools.partial(kernel, kind, causal)
  variants = [(time, "float32") for time in TIME_ENCODINGS]
  variants.append(("gate", "bfloat16"))
  for model, objective in itertools.product(MODELS, OBJECTIVES):
    for time, dtype in variants:
      name = f"{model}, {objective}, time={time}, {dtype}"
      found[name] = functools.partial(
          model_programs, model, time, dtype, objective
      )
  return found


def named_leaves(name: str, tree: Any) -> dict[str, np.ndarray]:
  return {
      f"{name}:{jax.tree_util.keystr(path, simple=True, separator='/')}":
      np.asarray(leaf, None if leaf.dtype.kind in "biuf" else np.float32)
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def main() -> None:
  arrays = {}
  for name, run in programs().items():
    arrays |= named_leaves(name, run())
  np.savez(sys.argv[1], **arrays)


if __name__ == "__main__":
  main()
