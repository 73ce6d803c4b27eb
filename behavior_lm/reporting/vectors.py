"""A sample of the vectors that experiments/embed.py wrote."""

from collections.abc import Mapping
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.artifacts.vectors import read_embeddings
from behavior_lm.artifacts.vectors import read_settings
from behavior_lm.common.errors import UserError

MOST_POINTS = 2_000
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Vectors:
  """Some rows of an embeddings table, and how many there are.

  Attributes:
    file: name of the table's file.
    values: [n, dim] float32, finite.
    num_events: [n] int64.
    users: [n] ids, for joining labels; never shown.
    all_users: ids of the whole table, each once.
    total_rows: of the whole table.
    settings: what the writer noted; may be empty.
  """

  file: str
  values: np.ndarray
  num_events: np.ndarray
  users: tuple[str, ...]
  all_users: tuple[str, ...]
  total_rows: int
  settings: Mapping[str, Any]


def read_vectors(path: Path, most: int = MOST_POINTS) -> Vectors:
  """At most `most` rows, chosen by a fixed seed out of all rows.

  The choice depends on the rows alone, not on the order they are written in.

  Raises:
    UserError: if the file is damaged or no embeddings table.
  """
  table, values = read_embeddings(path)
  if table.is_empty():
    raise UserError(f"{path}: holds no rows. Embed again.")
  rows = table.select(
      "user_id", "start", "num_events", row=pl.int_range(pl.len())
  ).sort("user_id", "start", "num_events", "row")
  chosen = rows
  if rows.height > most:
    rng = np.random.default_rng(_SEED)
    chosen = rows[np.sort(rng.choice(rows.height, most, replace=False))]
  return Vectors(
      file=path.name,
      values=values[chosen["row"].to_numpy()],
      num_events=chosen["num_events"].to_numpy(),
      users=tuple(chosen["user_id"].to_list()),
      all_users=tuple(rows["user_id"].unique().sort().to_list()),
      total_rows=rows.height,
      settings=read_settings(path),
  )
