"""Our encoders at work, one step whenever it is asked.

  python -m experiments.benchmarks.race.encoder_speed

Reads one JSON object a line and answers with one, as peers/encoder_speed.py
does; `encoder_race` talks to both. It works only between a question and its
answer, so that what it is compared with has the machine to itself meanwhile.
"""

from collections.abc import Callable, Mapping
import dataclasses
import functools
import json
import os
import resource
import sys
import time
import traceback
from typing import Any

import flax
from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.layers.heads import logits
from behavior_lm.models.language_model import LanguageModel
from behavior_lm.objectives.cross_entropy import token_loss
from behavior_lm.objectives.masked_events import MaskedEvents
from behavior_lm.objectives.masking.budgets import max_masked
from behavior_lm.objectives.objective import Batch
from behavior_lm.objectives.objective import Metrics
from behavior_lm.objectives.objective import Requires
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import count_params
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model
from experiments.benchmarks.race.encoder_cases import Case
from experiments.benchmarks.race.encoder_cases import HEADS
from experiments.benchmarks.race.encoder_cases import make_objective
from experiments.benchmarks.race.encoder_cases import model_config
from experiments.benchmarks.race.encoder_flops import forward_flops
from experiments.benchmarks.race.encoder_flops import TRAINING
from experiments.benchmarks.step.throughput import abstract_model
from experiments.benchmarks.step.throughput import full_rows
from experiments.benchmarks.step.throughput import gemm_seconds
from experiments.benchmarks.step.throughput import prepare_step


@dataclasses.dataclass(frozen=True)
class Step:
  """A compiled program.

  Attributes:
    run: runs it once and gives a number of the result, all of it awaited.
    program_bytes: what it needs: `arguments` (parameters, optimiser, batch)
      and `scratch`.
  """

  run: Callable[[], float]
  program_bytes: dict[str, int]


def _bytes(compiled: Any) -> dict[str, int]:
  found = compiled.memory_analysis()
  return {
      "arguments": found.argument_size_in_bytes,
      "scratch": found.temp_size_in_bytes,
  }


@dataclasses.dataclass(frozen=True)
class AllPositions:
  """Masked events, with a head that predicts everywhere.

  Weights say which predictions count. It is not for training: it does the same
  work as a model that makes logits at all positions, to compare with one.

  Attributes:
    inner: says what is masked; its state stays as it is.
  """

  inner: MaskedEvents

  @property
  def requires(self) -> Requires:
    return self.inner.requires

  def init_state(self) -> dict[str, jax.Array]:
    """The state of the objective within."""
    return self.inner.init_state()

  def loss(
      self, model: Any, batch: Batch, state: Any, key: jax.Array
  ) -> tuple[jax.Array, Metrics, Any]:
    """The loss of the objective within, see `MaskedEvents.loss`."""
    corrupt_key, dropout_key = jax.random.split(key)
    inputs, targets = self.inner.corrupt(batch, corrupt_key, state)
    head = model(
        inputs, deterministic=False, rngs=nnx.Rngs(dropout=dropout_key)
    )
    weights = spread_weights(targets, batch["tokens"].shape)
    total = jnp.maximum(weights.sum(), 1.0)
    loss, _, correct = token_loss(head, batch["tokens"], weights / total)
    accuracy = (correct * weights).sum() / total
    return loss, {"loss": loss, "accuracy": accuracy}, state


def spread_weights(
    targets: Mapping[str, jax.Array], shape: tuple[int, ...]
) -> jax.Array:
  """The weights of the targets at their offsets in the rows, 0 elsewhere.

  Args:
    targets: `at` and `weights`, [batch, n], see `MaskedEvents.corrupt`.
    shape: (batch, length).

  Returns:
    [batch, length] float32.
  """
  rows = jnp.arange(shape[0])[:, None]
  return jnp.zeros(shape).at[rows, targets["at"]].add(targets["weights"])


def num_predicted(case: Case, head: str) -> int:
  """Positions of the batch where the head predicts, slots included."""
  if head == "all":
    return case["batch_size"] * case["length"]
  return case["batch_size"] * max_masked(case["length"], case["mask_rate"])


def make_step(case: Case, head: str) -> Step:
  """A training step, or a forward pass; compiled, not yet run."""
  if case["mode"] == "forward":
    return _make_forward(case, head)
  if case["mode"] == "embed":
    return _make_embed(case)
  objective = make_objective(case)
  state, step, batch = prepare_step(
      _maker(case),
      objective if head == "masked" else AllPositions(objective),
      full_rows(case["batch_size"], case["length"], case["vocab_size"]),
      make_mesh(-1, 1),
  )
  compiled = step.lower(state, batch).compile()

  def train() -> float:
    nonlocal state
    state, metrics = compiled(state, batch)
    jax.block_until_ready(state)
    return float(metrics["loss"])

  return Step(train, _bytes(compiled))


def _maker(case: Case) -> Callable[..., Any]:
  return functools.partial(LanguageModel, case["model"], model_config(case))


def _make_forward(case: Case, head: str) -> Step:
  graphdef, *variables = split_model(_maker(case)(rngs=nnx.Rngs(0)))
  length, size = case["length"], num_predicted(case, head)
  batch = full_rows(case["batch_size"], length, case["vocab_size"])
  rows = size // case["batch_size"]
  at = jnp.broadcast_to(
      jnp.arange(rows) * (length // rows), (case["batch_size"], rows)
  )

  @jax.jit
  def run(variables: Any, batch: Any) -> jax.Array:
    return logits(merge_model(graphdef, *variables)(batch, at))

  inputs = jax.device_put(batch)
  compiled = run.lower(variables, inputs).compile()
  forward = lambda: jax.block_until_ready(compiled(variables, inputs))
  return Step(lambda: float(forward()[0, 0, 0]), _bytes(compiled))


def _make_embed(case: Case) -> Step:
  """Means of the last states, from arrays on the host to arrays there."""
  graphdef, *variables = split_model(_maker(case)(rngs=nnx.Rngs(0)))
  batch = full_rows(case["batch_size"], case["length"], case["vocab_size"])

  @jax.jit
  def run(variables: Any, batch: Any) -> jax.Array:
    hidden = merge_model(graphdef, *variables).encoder.encode(batch)
    return hidden.astype(jnp.float32).mean(1)

  inputs = {name: np.asarray(x) for name, x in batch.items()}
  compiled = run.lower(variables, inputs).compile()
  embed = lambda: np.asarray(compiled(variables, inputs))
  return Step(lambda: float(embed()[0, 0]), _bytes(compiled))


def describe(case: Case) -> dict[str, Any]:
  """What is said of our model before it runs."""
  model = abstract_model(_maker(case))
  _, params, _ = split_model(model)
  passes = TRAINING if case["mode"] == "train" else 1
  flops = {
      head: passes
      * forward_flops(
          model,
          batch_size=case["batch_size"],
          length=case["length"],
          num_predicted=num_predicted(case, head),
      )
      for head in HEADS
  }
  flops["theirs"] = flops["all"] + passes * _more_in_their_head(case)
  return {
      "num_params": count_params(params),
      "flops": flops,
      "xla_flags": os.environ.get("XLA_FLAGS", ""),
      "versions": {
          "python": sys.version.split()[0],
          "jax": jax.__version__,
          "flax": flax.__version__,
      },
  }


def _more_in_their_head(case: Case) -> float:
  """Operations of a pass that transformers' model needs and ours does not.

  Its Reformer predicts from both streams with a table of twice the width; ours
  joins them first, two widths to one, and has the width of its states there.
  """
  if case["model"] != "reformer":
    return 0.0
  tokens, width = case["batch_size"] * case["length"], case["embed_dim"]
  return 2.0 * tokens * width * (case["vocab_size"] - 2 * width)


def answer(
    question: Mapping[str, Any], steps: dict[str, Step]
) -> dict[str, Any]:
  """Does what is asked.

  Args:
    question: {"do": "setup", "case"}, {"do": "step", "head"}, {"do": "gemm",
      "dtype"} or {"do": "memory"}.
    steps: {head: step}, made by a setup.
  """
  do = question["do"]
  if do == "setup":
    case = question["case"]
    steps.clear()
    steps |= {head: make_step(case, head) for head in case["heads"]}
    sizes = {head: step.program_bytes for head, step in steps.items()}
    return describe(case) | {"program_bytes": sizes}
  if do == "step":
    started = time.perf_counter()
    loss = steps[question["head"]].run()
    return {"seconds": time.perf_counter() - started, "loss": loss}
  if do == "gemm":
    return {"seconds": gemm_seconds(question["dtype"])}
  if do == "memory":
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"peak_bytes": 1024 * kilobytes}
  raise ValueError(f"no task {do!r}")


def main() -> None:
  """Answers until its input ends."""
  # What libraries print must not come between the answers.
  out = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)
  steps: dict[str, Step] = {}
  for line in sys.stdin:
    try:
      told = answer(json.loads(line), steps)
    except Exception as error:
      traceback.print_exc()
      told = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(told), file=out, flush=True)


if __name__ == "__main__":
  main()
