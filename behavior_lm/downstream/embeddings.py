"""Reads embedding files, and makes one vector a user of them."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl

from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema

_COLUMNS = (schema.USER_ID, "num_events", "embedding")


@dataclasses.dataclass(frozen=True)
class UserEmbeddings:
  """One vector a user.

  Attributes:
    users: user ids, sorted.
    vectors: [num_users, embed_dim] float32.
    num_events: [num_users] int64, events that a vector stands for.
  """

  users: list[str]
  vectors: np.ndarray
  num_events: np.ndarray


def read_user_embeddings(path: str | Path) -> UserEmbeddings:
  """Averages the rows of each user, weighted by their numbers of events.

  Args:
    path: Parquet with user_id, num_events and embedding (a list of floats),
      one row a user or several (user-days).

  Raises:
    UserError: if the file is unreadable, has other columns, no rows, vectors
      of different lengths, values that are not finite, or rows without events.
  """
  try:
    table = pl.read_parquet(path)
  except FileNotFoundError:
    raise UserError(
        f"{path}: no such file. experiments/embed.py writes one."
    ) from None
  except (pl.exceptions.PolarsError, OSError) as error:
    raise UserError(
        f"{path}: not readable as Parquet ({first_line(error)})."
    ) from error
  missing = [name for name in _COLUMNS if name not in table.columns]
  if missing:
    raise UserError(
        f"{path}: no column {missing[0]!r} among {table.columns}; this is no"
        " file of experiments/embed.py."
    )
  if table.is_empty():
    raise UserError(f"{path}: no embedding in it.")
  for name in _COLUMNS:
    if table[name].null_count():
      raise UserError(f"{path}: column {name!r} has empty cells.")
  weights = table["num_events"].cast(pl.Float64).to_numpy()
  if (weights <= 0).any():
    raise UserError(f"{path}: a row has num_events below 1.")
  vectors = _matrix(table["embedding"], path)
  users, row = np.unique(
      table[schema.USER_ID].cast(pl.String).to_numpy(), return_inverse=True
  )
  total = np.bincount(row, weights)
  mean = np.zeros((users.size, vectors.shape[1]))
  np.add.at(mean, row, vectors * (weights / total[row])[:, None])
  return UserEmbeddings(
      [str(user) for user in users],
      mean.astype(np.float32),
      total.astype(np.int64),
  )


def _matrix(column: pl.Series, path: str | Path) -> np.ndarray:
  """List or Array column -> [rows, embed_dim] float64."""
  if isinstance(column.dtype, pl.Array):
    column = column.arr.to_list()
  if not isinstance(column.dtype, pl.List):
    raise UserError(
        f"{path}: column 'embedding' holds {column.dtype}, not lists of floats."
    )
  lengths = column.list.len().unique().to_list()
  if len(lengths) != 1 or not lengths[0]:
    raise UserError(
        f"{path}: vectors of lengths {sorted(lengths)} in one file."
    )
  try:
    flat = column.explode().cast(pl.Float64).to_numpy()
  except pl.exceptions.PolarsError as error:
    raise UserError(
        f"{path}: column 'embedding' holds {column.dtype}, not lists of floats."
    ) from error
  vectors = flat.reshape(len(column), lengths[0])
  bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
  if bad.size:
    raise UserError(
        f"{path}: {bad.size} vectors are not finite, the first in row"
        f" {bad[0] + 1}. The run may have diverged."
    )
  return vectors
