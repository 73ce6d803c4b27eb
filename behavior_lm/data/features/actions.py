"""What users did before a request: their last actions, newest first.

All actions of all users lie in flat arrays; those before a time are found by
binary search, so a batch costs the same whether a user has one action or
10,000.
"""

from collections.abc import Mapping, Sequence
import dataclasses

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.features.tables import PADDING
from behavior_lm.data.features.tables import ValueTable
from behavior_lm.data.samples.history import History
from behavior_lm.logs import schema

# Fields of a batch.
TYPES, ITEMS, AGES = "action_types", "action_items", "action_ages"
COUNTS = "action_counts"


@dataclasses.dataclass(frozen=True)
class Actions:
  """Actions of users, sorted by user and time.

  Attributes:
    users: {user_id: number}.
    offsets: [users + 1] int64, where the actions of each user begin.
    times: [actions] int64 microseconds.
    types, items: [actions] int32 ids, see `features.tables`.
    seen: [actions + 1, types] int32, how many of each type come before.
  """

  users: Mapping[str, int]
  offsets: np.ndarray
  times: np.ndarray
  types: np.ndarray
  items: np.ndarray
  seen: np.ndarray

  @classmethod
  def of(
      cls, events: pl.DataFrame, types: ValueTable, items: ValueTable
  ) -> "Actions":
    """From an event table: user_id, event_id, design_id, timestamp.

    Args:
      events: in any order of users; ties of time keep their order.
      types: ids of event ids.
      items: ids of design ids.
    """
    events = events.sort(
        schema.USER_ID, schema.TIMESTAMP, maintain_order=True
    )
    counts = events.group_by(schema.USER_ID, maintain_order=True).len()
    ends = np.cumsum(counts["len"].to_numpy(), dtype=np.int64)
    type_ids = types.ids(events[schema.EVENT_ID])
    is_type = type_ids[:, None] - types.offset == np.arange(types.size)
    seen = np.zeros((len(type_ids) + 1, types.size), np.int32)
    np.cumsum(is_type, axis=0, out=seen[1:])
    return cls(
        users={u: n for n, u in enumerate(counts[schema.USER_ID])},
        offsets=np.insert(ends, 0, 0),
        times=events[schema.TIMESTAMP].to_physical().to_numpy(),
        types=type_ids,
        items=items.ids(events[schema.DESIGN_ID]),
        seen=seen,
    )

  def __len__(self) -> int:
    return len(self.times)

  def numbers(self, users: Sequence[str]) -> np.ndarray:
    """[n] user ids -> [n] int64, -1 for users without any action."""
    found = [self.users.get(user, -1) for user in users]
    return np.asarray(found, np.int64)

  def ends(self, numbers: np.ndarray, times: np.ndarray) -> np.ndarray:
    """[n] places behind the last action STRICTLY before each time."""
    return last_before(self.offsets, self.times, numbers, times)

  def before(
      self, numbers: np.ndarray, times: np.ndarray, length: int
  ) -> dict[str, np.ndarray]:
    """The last actions before requests, newest first.

    Args:
      numbers: [n] users, see `numbers`.
      times: [n] int64 microseconds of the requests.
      length: actions at most.

    Returns:
      `action_types`, `action_items` [n, length] int32, 0 where there is none;
      `action_ages` [n, length] float32 seconds before the request, above 0
      where there is an action and 0 elsewhere; `action_counts` [n, types]
      float32, how often each type occurred in the whole history.
    """
    first = self.offsets[np.maximum(numbers, 0)]
    end = self.ends(numbers, times)
    at = end[:, None] - 1 - np.arange(length)
    there = at >= first[:, None]
    at = np.where(there, at, 0)
    if not len(self):
      shape = (len(numbers), length)
      nothing = np.full(shape, PADDING, np.int32)
      ages = np.zeros(shape, np.float32)
      counts = np.zeros((len(numbers), self.seen.shape[1]), np.float32)
      return {TYPES: nothing, ITEMS: nothing, AGES: ages, COUNTS: counts}
    ages = (times[:, None] - self.times[at]) / 1e6
    return {
        TYPES: np.where(there, self.types[at], PADDING).astype(np.int32),
        ITEMS: np.where(there, self.items[at], PADDING).astype(np.int32),
        AGES: np.where(there, ages, 0).astype(np.float32),
        COUNTS: (self.seen[end] - self.seen[first]).astype(np.float32),
    }


def last_before(
    offsets: np.ndarray,
    known: np.ndarray,
    numbers: np.ndarray,
    times: np.ndarray,
) -> np.ndarray:
  """Places behind the last entry of a user STRICTLY before each time.

  Args:
    offsets: [users + 1], where the entries of each user begin.
    known: [entries] times, ascending inside of a user.
    numbers: [n] users, -1 for one without entries.
    times: [n].

  Returns:
    [n] int64; the user's first place where there is none.
  """
  low = offsets[np.maximum(numbers, 0)]
  high = np.where(numbers < 0, low, offsets[numbers + 1])
  while (low < high).any():
    middle = (low + high) // 2
    safe = np.minimum(middle, max(len(known) - 1, 0))
    open_ = low < high
    before = open_ & (known[safe] < times)
    low, high = (
        np.where(before, middle + 1, low),
        np.where(open_ & ~before, middle, high),
    )
  return low


def check_before(batch: Mapping[str, np.ndarray], where: str) -> None:
  """Raises UserError if an action is not before its request.

  Args:
    batch: with the fields of `Actions.before`.
    where: what the batch comes from, for the message.
  """
  wrong = (batch[TYPES] != PADDING) & ~(batch[AGES] > 0)
  if wrong.any():
    row = int(np.flatnonzero(wrong.any(1))[0])
    raise UserError(
        f"{where}, row {row}: an action is at or after the time of its"
        " request, so it may give the answer away. Give actions strictly"
        " before the request alone."
    )


def dataset_events(history: History, excluded: Sequence[str]) -> pl.DataFrame:
  """All events of a prepared dataset as a table.

  Args:
    history: of the dataset; all splits count, since what came before a request
      is known then.
    excluded: event ids that are no actions.
  """
  users, times, pairs = [], [], []
  for number in range(history.num_sequences):
    example = history.read(number)
    users += [example[schema.USER_ID]] * len(example["pair"])
    times.append(example[schema.TIMESTAMP])
    pairs.append(example["pair"])
  codes = np.concatenate(pairs)
  table = history.pairs[codes].select(schema.EVENT_ID, schema.DESIGN_ID)
  stamps = pl.Series(schema.TIMESTAMP, np.concatenate(times))
  frame = table.with_columns(
      pl.Series(schema.USER_ID, users, dtype=pl.String),
      stamps.cast(pl.Datetime("us", "UTC")),
  )
  return frame.filter(~pl.col(schema.EVENT_ID).is_in(list(excluded)))
