"""windows -> packed rows -> shuffle -> shard -> batch -> prefetch.

The iterator is checkpointable: `get_state` / `set_state` bring back the
identical next batch.
"""

import dataclasses

import grain
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data.packed_rows import PADDING
from behavior_lm.data.packed_rows import RowSource
from behavior_lm.data.windows import WindowSource

Batch = dict[str, np.ndarray]


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


def make_loader(
    windows: WindowSource,
    spec: BatchSpec,
    *,
    shuffle: bool = True,
    num_epochs: int | None = None,
    host_index: int = 0,
    num_hosts: int = 1,
    drop_remainder: bool = True,
) -> grain.IterDataset:
  """Batches of packed windows.

  Args:
    windows: of a split.
    spec: shape of a batch.
    shuffle: rows in another order each epoch.
    num_epochs: None repeats without end.
    host_index, num_hosts: this host gets every num_hosts-th row.
    drop_remainder: leave a last batch out that is not full; otherwise it is
      filled up with rows of padding.

  Returns:
    A Grain dataset of dicts, arrays [batch_size, max_length]: `tokens`,
    `positions`, `segment_ids` (0 = padding), `time_gaps`, `times` (seconds
    since the first event of the segment), `num_events` (raw events a token
    spans), `sessions` (index inside the segment), and the features and
    annotations of the token source.

  Raises:
    UserError: if the shape cannot hold the windows, or a host gets nothing.
  """
  if not 0 <= host_index < num_hosts:
    raise UserError(f"host {host_index} of {num_hosts} does not exist.")
  rows = RowSource(
      windows,
      spec.max_length,
      spec.max_segments if spec.pack else 1,
      shuffle=shuffle,
      num_epochs=num_epochs,
  )
  if rows.rows_per_epoch < num_hosts:
    raise UserError(
        f"{rows.rows_per_epoch} rows for {num_hosts} hosts: some would get"
        " none. Use fewer hosts or more data."
    )
  batches = (
      grain.MapDataset.source(rows)[host_index::num_hosts]
      # Reading is cheap next to a step; two threads suffice, and keep order.
      .to_iter_dataset(
          grain.ReadOptions(num_threads=2, prefetch_buffer_size=64)
      )
      .batch(
          spec.batch_size, drop_remainder=drop_remainder, batch_fn=_Stack(spec)
      )
  )
  if spec.prefetch:
    batches = grain.experimental.ThreadPrefetchIterDataset(
        batches, prefetch_buffer_size=spec.prefetch
    )
  return batches


def padding_share(batch: Batch) -> float:
  """Share of positions that hold no token."""
  return float(np.mean(batch["segment_ids"] == 0))


class _Stack:
  """Stacks rows; fills a short last batch with rows of padding."""

  def __init__(self, spec: BatchSpec) -> None:
    self.batch_size = spec.batch_size

  def __call__(self, rows: list[Batch]) -> Batch:
    batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    missing = self.batch_size - len(rows)
    if not missing:
      return batch
    return {
        name: np.concatenate([
            values,
            np.full(
                (missing, *values.shape[1:]), PADDING.get(name, 0), values.dtype
            ),
        ])
        for name, values in batch.items()
    }
