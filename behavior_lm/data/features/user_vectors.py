"""Vectors of users from a pretrained encoder, as known before a request.

experiments/embed.py writes one vector per user-day. A day's vector is known
when the day (of UTC) is over: a request reads the last one that is, so nothing
of its own day, and nothing behind it, reaches it.
"""

from collections.abc import Sequence
import dataclasses
from pathlib import Path

import numpy as np
import polars as pl

from behavior_lm.artifacts.vectors import EMBEDDING
from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import UserError
from behavior_lm.data.features.actions import last_before
from behavior_lm.logs import schema

USER_VECTOR = "user_vector"
_DAY = 86_400_000_000


@dataclasses.dataclass(frozen=True)
class UserVectors:
  """Vectors sorted by user and by when they are known.

  Attributes:
    users: {user_id: number}.
    offsets: [users + 1] int64, where the vectors of each user begin.
    known: [vectors] int64 microseconds from which each is known.
    vectors: [vectors, dim] float32 of length 1.
  """

  users: dict[str, int]
  offsets: np.ndarray
  known: np.ndarray
  vectors: np.ndarray

  @classmethod
  def of(cls, table: pl.DataFrame, where: str) -> "UserVectors":
    """From a table of experiments/embed.py.

    Args:
      table: user_id, start, embedding.
      where: it comes from, for messages.

    Raises:
      UserError: if vectors are of whole users: they know what comes after a
        request.
    """
    if table["start"].null_count():
      raise UserError(
          f"{where}: holds vectors without a start, which are of a user's whole"
          " log and know what comes after a request. Embed a dataset of"
          " user-days without pooling them to users."
      )
    start = table["start"].cast(pl.Datetime("us", "UTC")).to_physical()
    known = (start // _DAY + 1) * _DAY
    table = table.with_columns(known.alias("known")).sort(
        schema.USER_ID, "known", maintain_order=True
    )
    counts = table.group_by(schema.USER_ID, maintain_order=True).len()
    ends = np.cumsum(counts["len"].to_numpy(), dtype=np.int64)
    vectors = np.asarray(table[EMBEDDING].to_list(), np.float32)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return cls(
        {user: n for n, user in enumerate(counts[schema.USER_ID])},
        np.insert(ends, 0, 0),
        table["known"].to_numpy(),
        vectors / np.maximum(length, 1e-9),
    )

  @classmethod
  def read(cls, path: str | Path) -> "UserVectors":
    """Reads a Parquet file of experiments/embed.py."""
    try:
      table = pl.read_parquet(path, columns=["user_id", "start", EMBEDDING])
    except (pl.exceptions.PolarsError, OSError) as error:
      raise UserError(
          f"{path}: is no table of vectors of experiments/embed.py"
          f" ({first_line(error)})."
      ) from error
    return cls.of(table, str(path))

  @property
  def dim(self) -> int:
    return int(self.vectors.shape[1])

  def before(self, users: Sequence[str], times: np.ndarray) -> np.ndarray:
    """The last vector that is known at each time; 0 where there is none.

    Args:
      users: [n] user ids.
      times: [n] int64 microseconds of requests.

    Returns:
      [n, dim] float32.
    """
    numbers = np.array([self.users.get(user, -1) for user in users], np.int64)
    # A day that ends with the request's microsecond is over.
    end = last_before(self.offsets, self.known, numbers, times + 1)
    first = self.offsets[np.maximum(numbers, 0)]
    there = (end > first) & (numbers >= 0)
    found = self.vectors[np.maximum(end - 1, 0)]
    return np.where(there[:, None], found, 0.0).astype(np.float32)
