"""Batches of plain columns, one sample per row, for models without tokens."""

from collections.abc import Mapping, Sequence
import functools

import numpy as np

from behavior_lm.data.fields import Batch
from behavior_lm.data.fields import Field
from behavior_lm.data.fields import FIELDS
from behavior_lm.data.fields import padding


class TableRows:
  """Rows in the order in which they are read.

  Args:
    columns: {field: [n, ...]}; `sample` is added, the place in the columns.
    seed: of the order.
    train: shuffle, another order each epoch, without end; otherwise the rows
      once, in order.
  """

  table: Mapping[str, Field] = FIELDS

  def __init__(
      self,
      columns: Mapping[str, np.ndarray],
      *,
      seed: int = 0,
      train: bool = True,
  ):
    self.rows_per_epoch = len(next(iter(columns.values())))
    places = np.arange(self.rows_per_epoch, dtype=np.int32)
    self.columns = {**columns, "sample": places}
    self.seed, self.train = seed, train

  def __len__(self) -> int:
    return self.rows_per_epoch * (10**9 if self.train else 1)

  def take(self, numbers: np.ndarray, names: Sequence[str]) -> Batch:
    """The rows of these numbers in the order of reading, all at once."""
    epochs, places = np.divmod(numbers, self.rows_per_epoch)
    if self.train:
      for epoch in np.unique(epochs):
        here = epochs == epoch
        order = _permutation(self.seed, int(epoch), self.rows_per_epoch)
        places[here] = order[places[here]]
    return {name: self.columns[name][places] for name in names}


class TableBatches:
  """Batches of a table by their number, for Grain; picklable.

  A Python call for each row, as packed rows take, would cost more than a step.

  Args:
    rows: the table.
    batch_size: rows of a batch.
    host_index, num_hosts: this host gets every num_hosts-th row.
    drop_remainder: leave a last batch out that is not full; otherwise it is
      filled up with padding.
    names: fields of the batch; empty is all.
  """

  def __init__(
      self,
      rows: TableRows,
      batch_size: int,
      *,
      host_index: int = 0,
      num_hosts: int = 1,
      drop_remainder: bool = True,
      names: Sequence[str] = (),
  ):
    self.rows, self.batch_size = rows, batch_size
    self.host_index, self.num_hosts = host_index, num_hosts
    self.names = tuple(names) or tuple(rows.columns)
    self._own = (len(rows) - host_index + num_hosts - 1) // num_hosts
    extra = 0 if drop_remainder else batch_size - 1
    self._length = (self._own + extra) // batch_size

  def __len__(self) -> int:
    return self._length

  def __getitem__(self, number: int) -> Batch:
    first = number * self.batch_size
    own = np.arange(first, min(first + self.batch_size, self._own))
    batch = self.rows.take(self.host_index + own * self.num_hosts, self.names)
    missing = self.batch_size - len(own)
    if not missing:
      return batch
    return {
        name: np.concatenate([
            values,
            padding(name, (missing, *values.shape[1:]), self.rows.table),
        ])
        for name, values in batch.items()
    }


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
  return np.random.default_rng([seed, epoch]).permutation(size)
