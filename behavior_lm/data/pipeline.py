"""source -> windows -> shuffle -> shard -> pack -> batch -> prefetch.

The iterator is checkpointable: `get_state` / `set_state` bring back the
identical next batch.
"""

import dataclasses
from typing import Any

import grain
import numpy as np

from behavior_lm.data import schema
from behavior_lm.data.time_gaps import HIDDEN_GAP
from behavior_lm.data.windows import WindowSource
from behavior_lm.errors import UserError

Batch = dict[str, np.ndarray]

# Rows that best-fit packing keeps open: more rows, less padding, more memory.
PACKING_ROWS = 64


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
    host_index: int = 0,
    num_hosts: int = 1,
    drop_remainder: bool = True,
) -> grain.IterDataset:
  """Batches of packed windows.

  Returns:
    A Grain dataset of dicts, arrays [batch_size, max_length]: `tokens`,
    `positions`, `segment_ids` (0 = padding), `time_gaps`, `times` (seconds
    since the first event of the segment) and the annotations of `windows`.
    The last batch of a finite source is filled up with padding rows unless
    `drop_remainder`.

  Raises:
    UserError: if the shape cannot hold the windows, or a host gets nothing.
  """
  if windows.capacity + 1 > spec.max_length:
    raise UserError(
        f"windows of {windows.capacity + 1} tokens do not fit in rows of"
        f" {spec.max_length}."
    )
  if not 0 <= host_index < num_hosts:
    raise UserError(f"host {host_index} of {num_hosts} does not exist.")
  if windows.windows_per_epoch < num_hosts:
    raise UserError(
        f"{windows.windows_per_epoch} windows for {num_hosts} hosts: some"
        " would get none. Use fewer hosts or more data."
    )
  first = windows[0]
  lengths = dict.fromkeys(first, spec.max_length)
  padding: dict[str, Any] = dict.fromkeys(first, 0)
  padding |= {"tokens": schema.PAD_ID, "time_gaps": HIDDEN_GAP}
  rows = (
      grain.MapDataset.source(windows)[host_index::num_hosts]
      # Reading is cheap next to a step; two threads suffice, and keep order.
      .to_iter_dataset(
          grain.ReadOptions(num_threads=2, prefetch_buffer_size=64)
      )
  )
  packed = grain.experimental.BestFitPackIterDataset(
      rows,
      length_struct=lengths,
      num_packing_bins=PACKING_ROWS if spec.pack else spec.batch_size,
      padding_struct=padding,
      max_sequences_per_bin=spec.max_segments if spec.pack else 1,
      shuffle_bins=windows.shuffle,
      seed=windows.seed,
  ).map(_rename)
  batches = packed.batch(
      spec.batch_size, drop_remainder=drop_remainder, batch_fn=_Stack(spec)
  )
  if spec.prefetch:
    batches = grain.experimental.ThreadPrefetchIterDataset(
        batches, prefetch_buffer_size=spec.prefetch
    )
  return batches


def padding_share(batch: Batch) -> float:
  """Share of positions that hold no token."""
  return float(np.mean(batch["segment_ids"] == 0))


def _rename(row: Batch) -> Batch:
  """Grain names segments and positions once for each field; one is enough."""
  out = {
      name: values
      for name, values in row.items()
      if not name.endswith(("_segment_ids", "_positions"))
  }
  out["segment_ids"] = row["tokens_segment_ids"]
  out["positions"] = row["tokens_positions"]
  return out


class _Stack:
  """Stacks rows; fills a short last batch with rows of padding."""

  def __init__(self, spec: BatchSpec) -> None:
    self.batch_size = spec.batch_size

  def __call__(self, rows: list[Batch]) -> Batch:
    batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    missing = self.batch_size - len(rows)
    if not missing:
      return batch
    fill = {"tokens": schema.PAD_ID, "time_gaps": HIDDEN_GAP}
    return {
        name: np.concatenate([
            values,
            np.full(
                (missing, *values.shape[1:]), fill.get(name, 0), values.dtype
            ),
        ])
        for name, values in batch.items()
    }
