"""A kind of run without tokens: it fits a line through noisy points.

Its objective has a state with content, and its model a variable that is no
parameter; both change in every step.

  python -m tests.toy_recipe WORKDIR [--steps=20] [--kill_after=N] ...
"""

import argparse
import json
import os
from pathlib import Path
import signal
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.artifacts import run_folder
from behavior_lm.objectives.objective import Requires
from behavior_lm.training import loop
from configs.common import loop_config

WIDTH = 6


class Counter(nnx.Variable):
  """Counts the calls of a model."""


class Line(nnx.Module):
  """y = x @ w + b in two parts, so that one can come from another run."""

  def __init__(self, *, rngs: nnx.Rngs):
    self.encoder = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
    self.head = nnx.Linear(WIDTH, 1, rngs=rngs)
    self.calls = Counter(jnp.zeros(()))

  def __call__(self, x: jax.Array) -> jax.Array:
    self.calls[...] = self.calls[...] + 1
    return self.head(self.encoder(x))[:, 0]


class SquaredError:
  """Calls the model twice; remembers a running mean of the errors."""

  requires = Requires(("x", "y"))

  def init_state(self) -> dict[str, jax.Array]:
    return {"mean_error": jnp.zeros(()), "seen": jnp.zeros((WIDTH,))}

  def loss(
      self, model: Any, batch: Any, state: Any, key: jax.Array
  ) -> tuple[jax.Array, dict[str, jax.Array], Any]:
    noisy = batch["x"] + 0.01 * jax.random.normal(key, batch["x"].shape)
    errors = (model(batch["x"]) - batch["y"]) ** 2
    errors += (model(noisy) - batch["y"]) ** 2
    loss = errors.mean()
    new = {
        "mean_error": 0.9 * state["mean_error"] + 0.1 * loss,
        "seen": state["seen"] + batch["x"].sum(0),
    }
    return loss, {"loss": loss}, jax.tree.map(jax.lax.stop_gradient, new)


class Points:
  """Batches by their number, so that one number restores them."""

  def __init__(self, rows: int, poison: tuple[int, ...] = ()):
    self.rows, self.poison, self.number = rows, poison, 0

  def __next__(self) -> dict[str, np.ndarray]:
    self.number += 1
    rng = np.random.default_rng(self.number)
    x = rng.normal(size=(self.rows, WIDTH)).astype(np.float32)
    y = x @ np.arange(WIDTH, dtype=np.float32)
    if self.number in self.poison:
      y[0] = np.nan
    return {"x": x, "y": y}

  def get_state(self) -> dict[str, Any]:
    return {"number": self.number}

  def set_state(self, state: dict[str, Any]) -> None:
    self.number = state["number"]

  def close(self) -> None:
    pass


class Distance:
  """How far the model is from the true line; worse again after `turn`."""

  def __init__(self, graphdef: Any, every: int, turn: int):
    self.graphdef, self.every, self.turn = graphdef, every, turn
    self.steps: list[int] = []

  def run(self, state: Any) -> dict[str, float]:
    step = int(state["step"])
    self.steps.append(step)
    return {"distance": float(abs(step - self.turn))}


class ToyRecipe:
  """See `behavior_lm.training.recipe.Recipe`."""

  def __init__(self, config: Any, rows: int = 8, poison=(), turn: int = 100):
    self.config, self.rows, self.poison = config, rows, poison
    self.objective = SquaredError()
    self.rows_per_epoch = 40.0
    self.turn = turn

  def describe(self) -> str:
    return "points on a line"

  def save(self, folder: Path) -> None:
    (folder / "truth.json").write_text(json.dumps(list(range(WIDTH))))

  def batches(self, host: int, num_hosts: int) -> Points:
    assert (host, num_hosts) == (0, 1)
    return Points(self.rows, self.poison)

  def batch_shapes(self) -> dict[str, Any]:
    kind = np.dtype(np.float32)
    return {"x": ((self.rows, WIDTH), kind), "y": ((self.rows,), kind)}

  def make_model(self, rngs: nnx.Rngs) -> nnx.Module:
    return Line(rngs=rngs)

  def work(self, batch: Any) -> dict[str, float]:
    return {"points": float(len(batch["y"]))}

  def make_evaluators(self, graphdef: Any, mesh: Any) -> dict[str, Distance]:
    return {
        name: Distance(graphdef, section.every, self.turn)
        for name, section in self.config.evals.items()
    }


def toy_config(**changes: Any) -> Any:
  """`changes` are dotted keys with "__" for the dot."""
  config = loop_config(
      "toy", total_steps=20, learning_rate=0.3, runlocal=True
  )
  config.log_every = 1
  config.checkpoint_every = 4
  config.evals.valid = {"every": 0}
  for key, value in changes.items():
    place = config
    *parents, last = key.split("__")
    for parent in parents:
      place = place[parent]
    with place.ignore_type():
      place[last] = value
  return config


def train_toy(folder: Path, *, recipe: Any = None, **changes: Any) -> str:
  """Makes or resumes a toy run, as `recipes.train.train` does."""
  config = toy_config(**changes)
  recipe = recipe or ToyRecipe(config)
  recipe.config = config
  if run_folder.is_run(folder):
    run_folder.check_same(config, folder)
  else:
    run_folder.create_run(config, folder, recipe.save)
  return loop.train(recipe, config, folder)


if __name__ == "__main__":
  parser = argparse.ArgumentParser()
  parser.add_argument("workdir", type=Path)
  parser.add_argument("--kill_after", type=int, default=0)
  args = parser.parse_args()

  class Deadly(Points):
    """Kills its process when it is asked for one batch too many."""

    def __next__(self) -> dict[str, np.ndarray]:
      if args.kill_after and self.number == args.kill_after:
        os.kill(os.getpid(), signal.SIGKILL)
      return super().__next__()

  class DeadlyRecipe(ToyRecipe):
    def batches(self, host: int, num_hosts: int) -> Points:
      return Deadly(self.rows)

  train_toy(args.workdir, recipe=DeadlyRecipe(None))
  print("DEVICES", jax.device_count())
