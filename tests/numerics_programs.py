"""Runs compiled programs that ship once, and saves what they return.

A process of its own, run twice by numerics_test.py: XLA reads its flags once.

  python tests/numerics_programs.py OUT.npz [all]

Without `all` they are every kernel, every time encoding, and one model for
each kind of program; `make numerics` runs all models.

The shapes are those of real sizes: the known miscompile spares small arrays.
An array of OUT.npz is named PROGRAM:PATH/TO/LEAF.
"""

from collections.abc import Callable, Iterable
import functools
import itertools
import sys
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from behavior_lm.attention.backends import attend
from behavior_lm.attention.backends import KERNELS
from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.data.fields import FIELDS
from behavior_lm.evaluation.token_scores import make_score
from behavior_lm.inference.pooling import find_pooling
from behavior_lm.inference.pooling import make_program
from behavior_lm.inference.pooling import POOLINGS
from behavior_lm.layers.time_encoding import TIME_ENCODINGS
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.recipes.pretrain import make_objective
from behavior_lm.recipes.shared.parts import language_model
from behavior_lm.training.optimizer import make_optimizer
from behavior_lm.training.optimizer import make_schedule
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import init_state
from behavior_lm.training.step import compile_step
from behavior_lm.training.step import make_train_step
from configs.pretrain import get_config
from tests.attention.comparing import hash_order

KNOWN_MISCOMPILE = "known miscompile"
# One model of each attention kernel: dense, sliding window, LSH and chunked.
HALF_PRECISION = ("bert", "longformer", "reformer")
FULL = "bert small, masked_events, gate, float32"
VOCAB_SIZE = 7_000
NUM_SCORED = 32
KERNEL_SETTINGS: dict[str, dict[str, Any]] = {
    "dense": {},
    "sliding_window": {"window_size": 64, "max_globals": 4},
    "lsh": {"chunk_size": 64},
    "chunked": {"chunk_size": 64},
}


def random_batch(shape: tuple[int, int]) -> dict[str, np.ndarray]:
  """Packed rows [batch, length]: three segments, then some padding."""
  rng = np.random.default_rng(0)
  cuts = np.sort(rng.integers(NUM_SCORED, shape[1], (shape[0], 3)), axis=1)
  offsets = np.arange(shape[1])
  before = (offsets >= cuts[..., None]).sum(1)
  starts = np.pad(cuts, ((0, 0), (1, 0)))
  segment_ids = np.where(before < 3, before + 1, 0)
  real = segment_ids > 0
  positions = offsets - np.take_along_axis(starts, before, 1)
  sessions = np.cumsum(np.random.default_rng(1).random(shape) < 0.1, 1)
  batch = {
      "tokens": np.where(real, rng.integers(5, VOCAB_SIZE, shape), 0),
      "positions": np.where(real, positions, 0),
      "segment_ids": segment_ids,
      "time_gaps": np.where(real, rng.geometric(0.05, shape) - 1, -1),
      "num_events": real,
      "sessions": np.where(real, sessions, 0),
  }
  return {name: array.astype(np.int32) for name, array in batch.items()}


def miscompile() -> jax.Array:
  """Garbage with jaxlib 0.12.0.1: a broadcast made inside feeds a dot."""
  x = np.random.default_rng(0).standard_normal((64, 512), np.float32)
  return jax.jit(lambda x: (x @ jnp.ones((512, 512))).sum(1))(x)


def kernel_programs(kind: str, causal: bool) -> dict[str, Any]:
  """Values and gradients of an attention kernel."""
  shape = (8, 256)
  batch = random_batch(shape)
  rng = np.random.default_rng(1)
  *qkv, cotangent = rng.standard_normal((4, *shape, 2, 64), np.float32)
  spec = AttentionSpec(kind=kind, causal=causal, **KERNEL_SETTINGS[kind])
  ids = jnp.asarray(batch["segment_ids"])
  order = None
  if kind == "lsh":
    # Of the first arrays: what is compared is the program, not the hashing.
    order = hash_order(spec, jnp.asarray(qkv[0]), ids)

  def run(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    return attend(
        query,
        None if kind == "lsh" else key,
        value,
        segment_ids=ids,
        positions=batch["positions"],
        spec=spec,
        order=order,
    )

  @jax.jit
  def values_and_gradients(qkv: list[jax.Array], cotangent: jax.Array) -> Any:
    values, pull_back = jax.vjp(run, *qkv)
    return {"values": values, "gradients": pull_back(cotangent)}

  return values_and_gradients(qkv, cotangent)


def time_program(name: str) -> dict[str, Any]:
  """Value and gradients of a time encoding, before a norm as in a model."""
  batch = random_batch((8, 256))
  layer = TIME_ENCODINGS[name](128, rngs=nnx.Rngs(0))
  graphdef, state = nnx.split(layer)
  rng = np.random.default_rng(1)
  tokens = rng.normal(0, 0.02, (8, 256, 128)).astype(np.float32)
  cotangent = rng.standard_normal(tokens.shape, np.float32)

  def run(state: Any, tokens: jax.Array) -> jax.Array:
    hidden = nnx.merge(graphdef, state)(tokens, batch["time_gaps"])
    return jax.nn.standardize(hidden, -1, epsilon=1e-12)

  @jax.jit
  def value_and_gradients(state: Any, tokens: jax.Array) -> Any:
    value, pull_back = jax.vjp(run, state, tokens)
    return {"value": value, "gradients": pull_back(cotangent)}

  return value_and_gradients(state, tokens)


def model_programs(
    config: ml_collections.ConfigDict, poolings: Iterable[str], scores: bool
) -> dict[str, Any]:
  """Vectors, scores, and what one training step leaves behind.

  Args:
    config: of the run.
    poolings: the vectors that are made.
    scores: whether events are scored, too.

  Of the new state the moments are kept (they are the gradients, scaled) but
  not the parameters: Adam's first step is the SIGN of a gradient, which turns
  the rounding of a zero into a full step.
  """
  objective = make_objective(config, VOCAB_SIZE)
  schedule = make_schedule(
      learning_rate=1e-3, total_steps=9, warmup_share=0.1
  )
  optimizer = make_optimizer(schedule)
  mesh = make_mesh()
  graphdef, state, shardings = init_state(
      language_model(config, VOCAB_SIZE),
      optimizer,
      objective,
      seed=0,
      mesh=mesh,
  )
  variables = state["params"], state["model_state"]
  batch = random_batch((config.data.batch_size, config.data.max_length))
  at = np.tile(np.arange(NUM_SCORED, dtype=np.int32), (len(batch["tokens"]), 1))
  targets = {"at": at, "tokens": batch["tokens"][:, :NUM_SCORED]}

  vectors = {
      name: jax.jit(
          make_program(
              graphdef,
              config.model.num_layers,
              find_pooling(name),
              table=FIELDS,
          )
      )(state, batch)
      for name in poolings
  }
  before = {"vectors": vectors}
  if scores:
    score = jax.jit(make_score(graphdef))
    before["nll"] = score(*variables, batch, targets)[0]
  # Last: the step consumes the state.
  step = compile_step(
      make_train_step(graphdef, objective, optimizer, schedule, seed=0),
      shardings,
      mesh,
  )
  state, metrics = step(state, batch)
  return before | {
      "metrics": metrics,
      "moments": state["opt_state"],
      "objective_state": state["objective_state"],
  }


def model_variants(every: bool) -> dict[str, ml_collections.ConfigDict]:
  """Each model with masked events, one per kernel in bfloat16 too.

  BERT has buckets of time, next events (as a causal model), future events (with
  two levels), and `base`, which has the paper's layout, at two rows: the others
  share all that. Two layers have the programs of many, and most of the time
  goes into compiling.

  Args:
    every: False leaves out what shares most of its program with another: the
      models whose kernel is dense, variants of BERT, bfloat16 but of BERT.
  """
  found = {}
  for model in ENCODERS if every else HALF_PRECISION:
    masked, following = "masked_events", "next_events"
    variants = [("small", masked, "gate", "float32")]
    if model == "bert" or every and model in HALF_PRECISION:
      variants += [("small", masked, "gate", "bfloat16")]
    if model == "bert" and every:
      variants += [("small", masked, "bucket", "float32")]
      variants += [("base", masked, "gate", "float32")]
      variants += [("small", following, "gate", "float32")]
      variants += [("small", "future_events", "bucket", "float32")]
    for size, objective, time, dtype in variants:
      config = get_config(
          f"model={model},size={size},objective={objective},time={time}"
      )
      config.model.dtype = dtype
      config.model.dropout_rate = 0.1
      config.model.num_layers = 2
      if "global_every" in config.model:
        config.model.global_every = 2
      if size == "base":
        config.data.batch_size = 2
      if objective == "future_events":
        config.model.session_layers = config.model.sentence_layers = 1
      found[f"{model} {size}, {objective}, {time}, {dtype}"] = config
  return found


def programs(every: bool) -> dict[str, Callable[[], Any]]:
  found: dict[str, Callable[[], Any]] = {KNOWN_MISCOMPILE: miscompile}
  for kind, causal in itertools.product(KERNELS, (False, True)):
    found[f"{kind} attention, causal={causal}, float32"] = functools.partial(
        kernel_programs, kind, causal
    )
  for name in TIME_ENCODINGS:
    found[f"time {name}, float32"] = functools.partial(time_program, name)
  for name, config in model_variants(every).items():
    # All models pool and score with the same code.
    full = name == FULL
    small = "small, masked_events, gate, float32" in name
    poolings = POOLINGS if full else ("mean",) if small else ()
    found[name] = functools.partial(model_programs, config, poolings, full)
  return found


def named_leaves(name: str, tree: Any) -> dict[str, np.ndarray]:
  """Leaves by path; bfloat16, which NumPy cannot store, as float32."""
  return {
      f"{name}:{jax.tree_util.keystr(path, simple=True, separator='/')}":
      np.asarray(leaf, None if leaf.dtype.kind in "biuf" else np.float32)
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def main() -> None:
  arrays = {}
  for name, run in programs(every="all" in sys.argv[2:]).items():
    arrays |= named_leaves(name, run())
  np.savez(sys.argv[1], **arrays)


if __name__ == "__main__":
  main()
