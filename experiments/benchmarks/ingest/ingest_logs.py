"""Large logs for the benchmark of ingestion, made fast.

A synthetic log of a few users is written many times over, each copy with users
of its own and somewhat later, all copies interleaved in time as a server
writes them (but for an hour at the borders of batches). Events, gaps and
lengths are those of the synthetic world; only the number of users grows, as it
does when a log is of more servers or more games.
"""

from collections.abc import Iterator
import pathlib

import polars as pl
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from behavior_lm.logs import schema
from behavior_lm.synthetic import generate as synthetic

# Rows of a batch, and of a row group.
BATCH_ROWS = 500_000
# Seconds by which a copy is later than the one before, modulo an hour.
_SHIFT = 1_117


def base_log(num_users: int = 24, seed: int = 0) -> pl.DataFrame:
  """Events of a few users in the order of time, about 44,000 a user."""
  config = synthetic.like_server_204(seed=seed, num_users=num_users)
  events = synthetic.generate(config).events
  return events.sort(schema.TIMESTAMP, maintain_order=True)


def batches(
    base: pl.DataFrame, num_events: int, batch_rows: int = BATCH_ROWS
) -> Iterator[pl.DataFrame]:
  """Yields exactly `num_events` events, about in the order of time.

  Args:
    base: events in the order of time.
    num_events: where to stop; the last ones of the base are left out if that
      is no multiple of its events.
    batch_rows: about so many events are yielded at a time.
  """
  copies = -(-num_events // base.height)
  rows = max(1, batch_rows // copies)
  left = num_events
  for part in base.iter_slices(rows):
    copied = pl.concat([
        part.with_columns(
            pl.col(schema.USER_ID) + pl.lit(f"-{copy}"),
            # Copies side by side would be compressed to nothing.
            pl.col(schema.TIMESTAMP)
            + pl.duration(seconds=copy * _SHIFT % 3_600),
        )
        for copy in range(copies)
    ])
    yield copied.sort(schema.TIMESTAMP, maintain_order=True).head(left)
    left -= min(left, copied.height)
    if not left:
      return


def write_log(
    base: pl.DataFrame,
    num_events: int,
    path: pathlib.Path,
    batch_rows: int = BATCH_ROWS,
) -> None:
  """Writes a log; the ending of `path` says whether CSV or Parquet."""
  if path.suffix == ".csv":
    with path.open("wb") as file:
      for number, batch in enumerate(batches(base, num_events, batch_rows)):
        batch.with_columns(
            pl.col(schema.TIMESTAMP).dt.to_string("%Y-%m-%d %H:%M:%S%.3f+00:00")
        ).write_csv(file, include_header=not number)
    return
  writer = None
  try:
    for batch in batches(base, num_events, batch_rows):
      table = batch.to_arrow()
      if writer is None:
        writer = pq.ParquetWriter(path, table.schema, compression="zstd")
      writer.write_table(table, row_group_size=batch_rows)
  finally:
    if writer is not None:
      writer.close()
