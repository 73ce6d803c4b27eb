"""Batches of several loaders, one after the other."""

from collections.abc import Sequence
from typing import Any

import grain

from behavior_lm.data.fields import Batch


class StagedBatches:
  """Passes from loader to loader; the state says which one it reads.

  Args:
    loaders: in their order, without end each.
    ends: batches of all loaders up to the end of each; that of the last loader
      is not read: it goes on.
  """

  def __init__(
      self, loaders: Sequence[grain.IterDataset], ends: Sequence[int]
  ) -> None:
    self._loaders = list(loaders)
    self._ends = list(ends)
    self._taken = 0
    self._open(0)

  def __next__(self) -> Batch:
    last = len(self._loaders) - 1
    if self._stage < last and self._taken == self._ends[self._stage]:
      self.close()
      self._open(self._stage + 1)
    batch: Batch = next(self._batches)
    self._taken += 1
    return batch

  def get_state(self) -> dict[str, Any]:
    return {
        "stage": self._stage,
        "taken": self._taken,
        "loader": self._batches.get_state(),
    }

  def set_state(self, state: dict[str, Any]) -> None:
    if state["stage"] != self._stage:
      self.close()
      self._open(state["stage"])
    self._taken = state["taken"]
    self._batches.set_state(state["loader"])

  def close(self) -> None:
    self._batches.close()

  def _open(self, stage: int) -> None:
    self._stage = stage
    self._batches: Any = iter(self._loaders[stage])
