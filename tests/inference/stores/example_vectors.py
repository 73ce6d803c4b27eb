"""Tables of embeddings for the tests of the stores."""

import numpy as np
import polars as pl

from behavior_lm.artifacts.vectors import embedding_column
from behavior_lm.artifacts.vectors import write_embeddings
from behavior_lm.inference.stores.source import open_source

START = 1_577_836_800_000_000


def make_table(num_rows, dim=8, seed=0):
  """The table without its vectors, and the vectors."""
  vectors = np.random.default_rng(seed).normal(size=(num_rows, dim))
  start = pl.Series(START + np.arange(num_rows)).cast(pl.Datetime("us", "UTC"))
  table = pl.DataFrame({
      "split": ["train" if n % 3 else "test" for n in range(num_rows)],
      "user_id": [f"user:{n} ü" for n in range(num_rows)],
      "start": start,
      "num_events": np.arange(1, num_rows + 1),
  })
  return table, vectors.astype(np.float32)


def make_source(path, num_rows, *, splits=(), **options):
  """A source, its table and its vectors."""
  table, vectors = make_table(num_rows, **options)
  write_embeddings(
      path, table.with_columns(embedding_column(vectors)), {"run": "a"}
  )
  return open_source(path, splits), table, vectors
