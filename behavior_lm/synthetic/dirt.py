"""Dirt that real logs have: lost design ids, double rows, clocks that err."""

import dataclasses
import zlib

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema

_DIRT_STREAM = 7
_SHARES = ("missing_designs", "duplicate_rows", "shuffled_ties")


@dataclasses.dataclass(frozen=True)
class Dirt:
  """What happens to a log between the game and the file.

  Attributes:
    missing_designs: probability that a row's design id is lost.
    duplicate_rows: probability that a row is there twice, one after the other.
    shuffled_ties: probability that the events of one user in one second are
      in any order.
    clock_jitter: seconds by which a row's time may be off, either way; whole
      seconds, evenly spread. Rows are in order of the times that they say.
  """

  missing_designs: float = 0.0
  duplicate_rows: float = 0.0
  shuffled_ties: float = 0.0
  clock_jitter: float = 0.0

  def __post_init__(self) -> None:
    for name in _SHARES:
      if not 0 <= getattr(self, name) <= 1:
        raise UserError(
            f"{name} is {getattr(self, name)}; give a share from 0 to 1."
        )
    if not 0 <= self.clock_jitter <= 86_400:
      raise UserError(
          f"clock_jitter is {self.clock_jitter}; give 0 to 86400 seconds."
      )


def soil(events: pl.DataFrame, dirt: Dirt, seed: int) -> pl.DataFrame:
  """A copy of a log with the dirt on it.

  What happens to a user's rows depends on the seed, the user's id and those
  rows alone, so a log soiled in groups of users is the same.

  Args:
    events: canonical event table, sorted by user, then time.
    dirt: how much of what.
    seed: of the dirt.

  Returns:
    The same columns; lost design ids are null; sorted by user, then time.
  """
  if dirt == Dirt() or not events.height:
    return events
  users = events[schema.USER_ID].rle().struct.unnest()
  jitter, key, lost, twice, mixed = np.concatenate(
      [
          np.random.default_rng(
              [seed, _DIRT_STREAM, zlib.crc32(user.encode())]
          ).random((5, size))
          for size, user in users.iter_rows()
      ],
      axis=1,
  )
  owner = np.repeat(np.arange(users.height), users["len"].to_numpy())
  second = np.rint((2 * jitter - 1) * dirt.clock_jitter).astype(np.int64)
  time = events[schema.TIMESTAMP].to_physical().to_numpy() + second * 1_000_000
  order = np.lexsort((time, owner))
  order = order[_shuffle_ties(owner[order], time[order], key, mixed, dirt)]
  order = np.repeat(order, 1 + (twice[order] < dirt.duplicate_rows))
  gone = pl.Series(lost[order] < dirt.missing_designs)
  stamp = pl.Series(time[order]).cast(schema.EVENT_SCHEMA[schema.TIMESTAMP])
  return events[order].with_columns(
      stamp.alias(schema.TIMESTAMP),
      pl.when(~gone).then(pl.col(schema.DESIGN_ID)).alias(schema.DESIGN_ID),
  )


def _shuffle_ties(
    owner: np.ndarray,
    time: np.ndarray,
    key: np.ndarray,
    mixed: np.ndarray,
    dirt: Dirt,
) -> np.ndarray:
  """[n] an order of rows sorted by owner and time; all inputs are [n]."""
  begins = np.diff(owner, prepend=-1) != 0
  begins |= np.diff(time, prepend=time[:1]) != 0
  tie = np.cumsum(begins) - 1
  # One draw decides for all events of a tie.
  shuffled = (mixed[begins] < dirt.shuffled_ties)[tie]
  place = np.arange(owner.size, dtype=np.float64)
  return np.lexsort((np.where(shuffled, key, place), tie))
