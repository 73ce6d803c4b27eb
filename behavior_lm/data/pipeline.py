"""windows -> packed rows -> shuffle -> shard -> batch -> prefetch.

Rows of plain columns (`data.table_rows`) take the same way from the shuffle on.

The iterator is checkpointable: `get_state` / `set_state` bring back the
identical next batch.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Protocol

import grain
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data.fields import Batch
from behavior_lm.data.fields import Field
from behavior_lm.data.fields import padding
from behavior_lm.data.table_rows import TableBatches
from behavior_lm.data.table_rows import TableRows


class Rows(Protocol):
  """Rows of all epochs by their place: `data.packed_rows.RowSource`, say.

  Attributes:
    rows_per_epoch: how many an epoch has.
    table: what the fields of a row mean.
  """

  rows_per_epoch: int

  @property
  def table(self) -> Mapping[str, Field]: ...

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> Batch: ...


@dataclasses.dataclass(frozen=True)
class BatchSpec:
  """The fixed shape of a batch.

  Attributes:
    batch_size: rows on this host.
    max_length: tokens in a row.
    max_segments: sequences in a row at most; bounds the pooled output.
    pack: False gives every window a row of its own.
    prefetch: batches made ahead on a thread; 0 makes them when asked for.
  """

  batch_size: int
  max_length: int
  max_segments: int = 16
  pack: bool = True
  prefetch: int = 4

  @property
  def segments(self) -> int:
    """Windows in a row."""
    return self.max_segments if self.pack else 1


# All that a loader reads.
AnyRows = Rows | TableRows


def make_loader(
    rows: AnyRows,
    spec: BatchSpec,
    *,
    host_index: int = 0,
    num_hosts: int = 1,
    drop_remainder: bool = True,
    names: Sequence[str] = (),
) -> grain.IterDataset:
  """Batches of packed rows.

  Args:
    rows: of a split, packed or plain.
    spec: shape of a batch.
    host_index, num_hosts: this host gets every num_hosts-th row.
    drop_remainder: leave a last batch out that is not full; otherwise it is
      filled up with rows of padding.
    names: fields of the batch; empty is all that the rows have.

  Returns:
    A Grain dataset of dicts, arrays [batch_size, max_length], see
    `data.fields`.

  Raises:
    UserError: if a host gets nothing, or a field is not there.
  """
  if not 0 <= host_index < num_hosts:
    raise UserError(f"host {host_index} of {num_hosts} does not exist.")
  if rows.rows_per_epoch < num_hosts:
    raise UserError(
        f"{rows.rows_per_epoch} rows for {num_hosts} hosts: some would get"
        " none. Use fewer hosts or more data."
    )
  if isinstance(rows, TableRows):
    batches = grain.MapDataset.source(
        TableBatches(
            rows,
            spec.batch_size,
            host_index=host_index,
            num_hosts=num_hosts,
            drop_remainder=drop_remainder,
            names=names,
        )
    ).to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=2))
  else:
    batches = (
        grain.MapDataset.source(rows)[host_index::num_hosts]
        # Reading is cheap next to a step; two threads suffice, and keep order.
        .to_iter_dataset(
            grain.ReadOptions(num_threads=2, prefetch_buffer_size=64)
        )
        .batch(
            spec.batch_size,
            drop_remainder=drop_remainder,
            batch_fn=_Stack(spec.batch_size, names, rows.table),
        )
    )
  if spec.prefetch:
    batches = grain.experimental.ThreadPrefetchIterDataset(
        batches, prefetch_buffer_size=spec.prefetch
    )
  return batches


class _Stack:
  """Stacks rows; fills a short last batch with rows of padding."""

  def __init__(
      self, batch_size: int, names: Sequence[str], table: Mapping[str, Field]
  ) -> None:
    self.batch_size = batch_size
    self.names = tuple(names)
    self.table = dict(table)

  def __call__(self, rows: list[Batch]) -> Batch:
    names = self.names or rows[0]
    batch = {name: np.stack([row[name] for row in rows]) for name in names}
    missing = self.batch_size - len(rows)
    if not missing:
      return batch
    return {
        name: np.concatenate([
            values,
            padding(name, (missing, *values.shape[1:]), self.table),
        ])
        for name, values in batch.items()
    }
