"""A sample of the vectors that experiments/embed.py wrote."""

from collections.abc import Mapping
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import UserError

MOST_POINTS = 2_000
_SEED = 0
# Key of the settings in the file's metadata.
_SETTINGS = "behavior_lm"


@dataclasses.dataclass(frozen=True)
class Vectors:
  """Some rows of an embeddings table, and how many there are.

  Attributes:
    values: [n, dim] float64, finite.
    num_events: [n] int64.
    users: [n] ids, for joining labels; never shown.
    all_users: ids of the whole table, each once.
    total_rows: of the whole table.
    settings: what the writer said of itself; may be empty.
  """

  values: np.ndarray
  num_events: np.ndarray
  users: tuple[str, ...]
  all_users: tuple[str, ...]
  total_rows: int
  settings: Mapping[str, Any]


def read_vectors(path: Path, most: int = MOST_POINTS) -> Vectors:
  """At most `most` rows, chosen by a seed out of all rows.

  The choice depends on the rows alone, not on the order they are written in.

  Raises:
    UserError: if the file is damaged or no embeddings table.
  """
  rows = _read_ids(path).sort("user_id", "start", "num_events", "row")
  if not rows.height:
    raise UserError(f"{path}: holds no rows. Embed again.")
  chosen = rows
  if rows.height > most:
    places = np.random.default_rng(_SEED).choice(
        rows.height, most, replace=False
    )
    chosen = rows[np.sort(places)]
  return Vectors(
      values=_read_matrix(path, chosen["row"]),
      num_events=chosen["num_events"].to_numpy(),
      users=tuple(chosen["user_id"].to_list()),
      all_users=tuple(rows["user_id"].unique().sort().to_list()),
      total_rows=rows.height,
      settings=_read_settings(path),
  )


def _read_ids(path: Path) -> pl.DataFrame:
  """user_id, start (microseconds), num_events and row."""
  frame = _read(path, ["user_id", "start", "num_events"])
  try:
    table = frame.select(
        pl.col("user_id").cast(pl.String),
        # A user over everything has no start.
        pl.col("start").cast(pl.Int64),
        pl.col("num_events").cast(pl.Int64),
        row=pl.int_range(pl.len(), dtype=pl.Int64),
    )
  except pl.exceptions.PolarsError as error:
    raise UserError(
        f"{path}: user_id, start or num_events has an unexpected type"
        f" ({first_line(error)}). Embed again."
    ) from error
  for name in ("user_id", "num_events"):
    if table[name].null_count():
      raise UserError(f"{path}: column {name!r} has empty cells. Embed again.")
  return table


def _read_matrix(path: Path, rows: pl.Series) -> np.ndarray:
  column = _read(path, ["embedding"])["embedding"].gather(rows)
  try:
    matrix = np.asarray(column.to_list(), np.float64)
  except (TypeError, ValueError) as error:
    raise UserError(
        f"{path}: 'embedding' is not a list of equally many numbers in each"
        f" row ({first_line(error)}). Embed again."
    ) from error
  if matrix.ndim != 2 or not matrix.shape[1]:
    raise UserError(f"{path}: 'embedding' is {column.dtype}, not a vector.")
  bad = int((~np.isfinite(matrix)).any(axis=1).sum())
  if bad:
    raise UserError(
        f"{path}: {bad} of {len(matrix)} vectors hold NaN or infinity; the run"
        " may have diverged. Embed again, from a checkpoint that trained well."
    )
  return matrix


def _read_settings(path: Path) -> dict[str, Any]:
  """Of files by other writers: none."""
  try:
    content = json.loads(pl.read_parquet_metadata(path).get(_SETTINGS, "{}"))
  except ValueError as error:
    raise UserError(
        f"{path}: its settings are not readable ({first_line(error)}). Embed"
        " again."
    ) from error
  return content if isinstance(content, dict) else {}


def _read(path: Path, columns: list[str]) -> pl.DataFrame:
  try:
    return pl.read_parquet(path, columns=columns)
  except FileNotFoundError:
    raise UserError(
        f"--embeddings {path}: no such file. experiments/embed.py writes one."
    ) from None
  except (pl.exceptions.PolarsError, OSError) as error:
    raise UserError(
        f"{path}: not a readable Parquet file with user_id, start, num_events"
        f" and embedding ({first_line(error)}). Embed again."
    ) from error
