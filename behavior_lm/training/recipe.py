"""What the training loop asks of a kind of run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from flax import nnx
from jax.sharding import Mesh
import numpy as np


class Evaluator(Protocol):
  """Measures a model while it is trained.

  Attributes:
    every: steps between two evaluations; 0 is never while training.
  """

  every: int

  def run(self, state: Mapping[str, Any]) -> Mapping[str, float]:
    """Figures by name, from the parameters and variables of a state."""


class Batches(Protocol):
  """An iterator over batches that can be saved and restored."""

  def __next__(self) -> dict[str, np.ndarray]: ...

  def get_state(self) -> dict[str, Any]: ...

  def set_state(self, state: dict[str, Any]) -> None: ...

  def close(self) -> None: ...


class Recipe(Protocol):
  """All that differs between kinds of runs.

  Attributes:
    objective: see `behavior_lm.objectives.objective`.
    rows_per_epoch: rows of all hosts until every example was seen once.
  """

  @property
  def objective(self) -> Any: ...

  @property
  def rows_per_epoch(self) -> float: ...

  def describe(self) -> str:
    """A line about the data, for the log."""

  def save(self, folder: Path) -> None:
    """Writes what inference needs into a new run folder."""

  def batches(self, host: int, num_hosts: int) -> Batches:
    """Endless batches of one host; the first axis of each array is rows."""

  def batch_shapes(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """{name: (shape, dtype)} of a batch of all hosts."""

  def make_model(self, rngs: nnx.Rngs) -> nnx.Module:
    """All that is trained, heads included."""

  def work(self, batch: Mapping[str, np.ndarray]) -> dict[str, float]:
    """How much a batch of one host holds, by unit: events, tokens, rows."""

  def make_evaluators(
      self, graphdef: Any, mesh: Mesh
  ) -> Mapping[str, Evaluator]:
    """What `config.evals` names."""
