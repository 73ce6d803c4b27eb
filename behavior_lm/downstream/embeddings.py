"""Reads embedding files, and makes one vector per user of them."""

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl

from behavior_lm.artifacts.vectors import read_embeddings
from behavior_lm.common.errors import UserError


@dataclasses.dataclass(frozen=True)
class UserEmbeddings:
  """One vector per user.

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
    path: a file of experiments/embed.py, one row per user or several
      (user-days).

  Raises:
    UserError: if the file is damaged, has no rows, or a row has no events.
  """
  table, vectors = read_embeddings(path)
  if table.is_empty():
    raise UserError(f"{path}: holds no embedding. Embed again.")
  weights = table["num_events"].cast(pl.Float64).to_numpy()
  if (weights <= 0).any():
    raise UserError(f"{path}: a row has num_events below 1. Embed again.")
  users, row = np.unique(table["user_id"].to_numpy(), return_inverse=True)
  total = np.bincount(row, weights)
  mean = np.zeros((users.size, vectors.shape[1]))
  np.add.at(mean, row, vectors * (weights / total[row])[:, None])
  return UserEmbeddings(
      [str(user) for user in users],
      mean.astype(np.float32),
      total.astype(np.int64),
  )
