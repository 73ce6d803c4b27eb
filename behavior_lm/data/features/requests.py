"""Tables of requests: who was shown what, when, and what happened.

A row is one candidate of one request. Rows of one user and time are one
request, unless a column names requests.
"""

from collections.abc import Mapping, Sequence
import dataclasses

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.features.actions import Actions
from behavior_lm.data.features.schema import FeatureSchema
from behavior_lm.data.features.space import FeatureSpace
from behavior_lm.data.features.user_vectors import USER_VECTOR
from behavior_lm.data.features.user_vectors import UserVectors
from behavior_lm.data.samples.sample_columns import BINARY
from behavior_lm.data.samples.sample_columns import CATEGORICAL
from behavior_lm.data.samples.sample_columns import LABEL
from behavior_lm.data.samples.sample_columns import SampleColumns
from behavior_lm.data.samples.sample_columns import WEIGHT
from behavior_lm.data.samples.table import SampleTable
from behavior_lm.data.samples.table import times_of
from behavior_lm.logs import schema

# Tables of ids of actions.
ACTION_TABLE = "action"
NO_ACTION = "none"
LABELS, WEIGHTS = "labels", "weights"


def sample_columns(
    features: FeatureSchema,
    *,
    heads: Sequence[str],
    candidates: Sequence[str] = (),
    user: str = "",
    time: str = "",
    weight: str = "",
    timezone: str = "UTC",
) -> SampleColumns:
  """The declaration of a request table.

  Args:
    features: of its rows.
    heads: columns of 0 and 1, one per action that is predicted.
    candidates: columns that say, with user and time, which row it is.
    user, time, weight: further columns, "" where there is none.
    timezone: of times that are written without one.
  """
  return SampleColumns(
      labels=dict.fromkeys(heads, BINARY),
      user=user,
      time=time,
      candidates=candidates,
      dense=features.names("dense"),
      categorical=features.columns,
      texts=features.texts,
      weight=weight,
      timezone=timezone,
  )


def rows_as_events(
    tables: Sequence[SampleTable], heads: Sequence[str], item: str
) -> pl.DataFrame:
  """The rows of request tables as actions: what followed on what was shown.

  Args:
    tables: of all splits; a row is an action from its own time on.
    heads: the first one that happened is the type of the action, "none" where
      none did.
    item: categorical column of the candidate.

  Returns:
    user_id, event_id, design_id, timestamp.

  Raises:
    UserError: if a table has no times.
  """
  kind: pl.Expr = pl.lit(NO_ACTION)
  for head in reversed(heads):
    kind = pl.when(pl.col(LABEL + head) == 1).then(pl.lit(head)).otherwise(kind)
  for table in tables:
    if not table.columns.time:
      raise UserError(
          "the rows are to be the actions of later rows, but they have no time."
          " Set --config.data.columns.time, or --config.data.actions=''."
      )
  return pl.concat([
      table.frame.select(
          schema.USER_ID,
          kind.alias(schema.EVENT_ID),
          pl.col(CATEGORICAL + item).fill_null("").alias(schema.DESIGN_ID),
          pl.Series(schema.TIMESTAMP, times_of(table.frame)),
      )
      for table in tables
  ])


def head_weights(
    labels: np.ndarray, matrix: np.ndarray | None, rows: np.ndarray
) -> np.ndarray:
  """The weight of each head's loss in each row.

  w[i, h] = rows[i] * sum_a matrix[h, a] y[i, a], as in TransAct (arXiv
  2306.00248, section 3.1). The last column stands for "no action at all":
  without it, a row of negatives would weigh nothing.

  Args:
    labels: [n, heads] of 0 and 1, NaN where unknown.
    matrix: [heads, heads + 1]; None weighs all rows alike.
    rows: [n] weights of rows and their users.

  Returns:
    [n, heads] float32.
  """
  known = np.nan_to_num(labels)
  if matrix is None:
    return np.broadcast_to(rows[:, None], labels.shape).astype(np.float32)
  nothing = ~(known > 0).any(1)
  actions = np.concatenate([known, nothing[:, None]], 1)
  return (rows[:, None] * (actions @ matrix.T)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class RequestRows:
  """Encoded rows, and where their actions come from.

  Attributes:
    arrays: fields of all rows, [n, ...] each.
    users: [n] user ids.
    requests: [n] int64 numbers of requests.
    times: [n] int64 microseconds.
    numbers: [n] users as `Actions.numbers` has them.
    actions: None where a model reads none.
    num_actions: of a row at most.
  """

  arrays: Mapping[str, np.ndarray]
  users: np.ndarray
  requests: np.ndarray
  times: np.ndarray
  numbers: np.ndarray
  actions: Actions | None
  num_actions: int

  def __len__(self) -> int:
    return len(self.users)

  @property
  def labels(self) -> np.ndarray:
    """[n, heads] float32, NaN where unknown."""
    return self.arrays[LABELS]

  def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The fields of some rows, with the actions before each."""
    out = {name: values[rows] for name, values in self.arrays.items()}
    if self.actions is not None:
      out |= self.actions.before(
          self.numbers[rows], self.times[rows], self.num_actions
      )
    return out

  def shapes(
      self, batch_size: int
  ) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """{field: (shape, dtype)} of a batch."""
    one = self.batch(np.zeros(1, np.int64))
    return {
        name: ((batch_size, *values.shape[1:]), values.dtype)
        for name, values in one.items()
    }


def request_rows(
    table: SampleTable,
    space: FeatureSpace,
    actions: Actions | None,
    *,
    num_actions: int,
    matrix: np.ndarray | None = None,
    user_weights: Mapping[str, float] | None = None,
    vectors: UserVectors | None = None,
) -> RequestRows:
  """Encodes the rows of a table.

  Args:
    table: see `sample_columns`.
    space: fitted on training rows.
    actions: of all users, if the model reads any.
    num_actions: of a row at most.
    matrix: see `head_weights`.
    user_weights: {user id: factor}; 1 for others.
    vectors: of users from a pretrained encoder, see `features.user_vectors`.
  """
  frame = table.frame
  labels = np.stack(
      [
          frame[LABEL + head].cast(pl.Float32).fill_null(np.nan).to_numpy()
          for head in table.columns.labels
      ],
      1,
  )
  users = frame[schema.USER_ID].to_numpy()
  weights = frame[WEIGHT].to_numpy()
  if user_weights:
    weights = weights * np.array([user_weights.get(u, 1.0) for u in users])
  times = times_of(frame)
  requests = frame.select(
      pl.struct(pl.col(schema.USER_ID), pl.Series("time", times))
      .rank("dense")
      .cast(pl.Int64)
  ).to_series()
  arrays = space.encode(frame) | {
      LABELS: labels,
      WEIGHTS: head_weights(labels, matrix, weights),
  }
  if vectors is not None:
    arrays[USER_VECTOR] = vectors.before(users.tolist(), times)
  return RequestRows(
      arrays=arrays,
      users=users,
      requests=requests.to_numpy(),
      times=times,
      numbers=actions.numbers(users.tolist())
      if actions is not None
      else np.full(len(users), -1),
      actions=actions,
      num_actions=num_actions,
  )


def sampled_rows(
    labels: np.ndarray, negative_rate: float, seed: int
) -> np.ndarray:
  """Places of training rows: all with an action, a share of those without.

  Args:
    labels: [n, heads].
    negative_rate: share of the rows without any action that is kept.
    seed: of the draw.

  Raises:
    UserError: if the rate is not in (0, 1].
  """
  if not 0 < negative_rate <= 1:
    raise UserError(
        f"data.negative_rate is {negative_rate}; give a share of rows above 0"
        " and up to 1."
    )
  kept = (np.nan_to_num(labels) > 0).any(1)
  drawn = np.random.default_rng(seed).random(len(labels)) < negative_rate
  return np.flatnonzero(kept | drawn)


class RowBatches:
  """Endless batches of rows, shuffled anew in each epoch.

  A batch is a function of its number alone, so one number restores the
  iterator, on any number of hosts.

  Args:
    source: the rows.
    chosen: [n] places of rows that are trained on.
    batch_size: rows of a batch of all hosts.
    seed: of the order.
    host, num_hosts: this host takes its share of each batch.

  Raises:
    UserError: if a batch does not divide among the hosts.
  """

  def __init__(
      self,
      source: RequestRows,
      chosen: np.ndarray,
      *,
      batch_size: int,
      seed: int = 0,
      host: int = 0,
      num_hosts: int = 1,
  ) -> None:
    if batch_size % num_hosts:
      raise UserError(
          f"data.batch_size {batch_size} does not divide among {num_hosts}"
          " hosts."
      )
    self.source, self.chosen = source, chosen
    self.batch_size, self.seed = batch_size, seed
    self.share = slice(host, None, num_hosts)
    self.number = 0
    self._order: dict[int, np.ndarray] = {}

  def __next__(self) -> dict[str, np.ndarray]:
    places = self.number * self.batch_size + np.arange(self.batch_size)
    self.number += 1
    epochs, at = np.divmod(places, len(self.chosen))
    rows = np.array([
        self._epoch(int(epoch))[place]
        for epoch, place in zip(epochs, at, strict=True)
    ])
    return self.source.batch(self.chosen[rows[self.share]])

  def _epoch(self, epoch: int) -> np.ndarray:
    """The order of one epoch; that of the last two is kept."""
    if epoch not in self._order:
      rng = np.random.default_rng([self.seed, epoch])
      last = list(self._order.items())[-1:]
      self._order = dict(last) | {epoch: rng.permutation(len(self.chosen))}
    return self._order[epoch]

  def get_state(self) -> dict[str, int]:
    return {"number": self.number}

  def set_state(self, state: Mapping[str, int]) -> None:
    self.number = state["number"]

  def close(self) -> None:
    """There is nothing to close."""
