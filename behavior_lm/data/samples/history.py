"""The events of a user before a time, read from a prepared dataset on demand.

The index holds a few numbers per sequence; the events stay on disk. A history
spans all splits of the dataset: what happened before a row's time is known at
that time, whichever split the dataset put it into.
"""

import collections
from collections.abc import Mapping, Sequence
import threading
from typing import Any, Protocol

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import cells
from behavior_lm.logs import schema

# A time after every event: the row sees the whole history of its user.
END_OF_HISTORY = np.iinfo(np.int64).max
CACHED_EVENTS = 2**22


class PreparedLog(Protocol):
  """What is needed of a `logs.dataset.Dataset`."""

  @property
  def splits(self) -> list[str]: ...

  @property
  def pairs(self) -> pl.DataFrame: ...

  def sequences(self, split: str) -> pl.DataFrame: ...

  def source(self, split: str) -> Any: ...


class _Recent:
  """The sequences that were read last, at most `capacity` events of them."""

  def __init__(self, capacity: int) -> None:
    self.capacity = capacity
    self.num_events = 0
    self._found: collections.OrderedDict[int, Mapping[str, Any]] = (
        collections.OrderedDict()
    )
    self._lock = threading.Lock()

  def __len__(self) -> int:
    return len(self._found)

  def get(self, number: int) -> Mapping[str, Any] | None:
    with self._lock:
      if number in self._found:
        self._found.move_to_end(number)
      return self._found.get(number)

  def put(self, number: int, example: Mapping[str, Any]) -> None:
    size = len(example["pair"])
    with self._lock:
      if size > self.capacity or number in self._found:
        return
      self._found[number] = example
      self.num_events += size
      while self.num_events > self.capacity:
        _, oldest = self._found.popitem(last=False)
        self.num_events -= len(oldest["pair"])

  def __getstate__(self) -> dict[str, Any]:
    return {"capacity": self.capacity}

  def __setstate__(self, state: dict[str, Any]) -> None:
    self.__init__(state["capacity"])  # type: ignore[misc]


class History:
  """Random access to what each user did before a time; picklable.

  Memory: about 40 bytes per sequence, one entry per user, and the cache.

  Args:
    dataset: prepared logs.
    cached_events: events of recently read sequences that are kept. A sequence
      with more events than that is read anew each time.

  Attributes:
    users: user_id and code of every user, the codes ascending from 0.
    pairs: the table of pairs of the dataset.
    recent: the cache.
  """

  def __init__(
      self, dataset: PreparedLog, *, cached_events: int = CACHED_EVENTS
  ) -> None:
    names = dataset.splits
    table = pl.concat([
        dataset.sequences(name).select(
            schema.USER_ID,
            pl.col("start").to_physical(),
            "index",
            pl.lit(number, pl.Int8).alias("split"),
        )
        for number, name in enumerate(names)
    ]).sort(schema.USER_ID, "start", maintain_order=True)
    if not table.height:
      raise UserError("the dataset holds no sequence.")
    counts = table.group_by(schema.USER_ID, maintain_order=True).len()
    self.users = counts.select(
        schema.USER_ID, pl.int_range(pl.len(), dtype=pl.Int64).alias("code")
    )
    self.pairs = dataset.pairs
    self.recent = _Recent(cached_events)
    ends = np.cumsum(counts["len"].to_numpy(), dtype=np.int64)
    self._bounds = np.insert(ends, 0, 0)
    self._start = table["start"].to_numpy()
    self._split = table["split"].to_numpy()
    self._index = table["index"].to_numpy()
    self._sources = [dataset.source(name) for name in names]
    self._nothing: dict[str, np.ndarray] | None = None

  @property
  def num_sequences(self) -> int:
    return len(self._start)

  def codes(self, users: pl.Series) -> np.ndarray:
    """[n] user ids -> [n] int64 codes, -1 for users out of the dataset."""
    wanted = pl.DataFrame({schema.USER_ID: users.cast(pl.String)})
    joined = wanted.join(
        self.users, on=schema.USER_ID, how="left", maintain_order="left"
    )
    return joined["code"].fill_null(-1).to_numpy()

  def first_events(self, codes: np.ndarray) -> np.ndarray:
    """[n] codes -> [n] int64 microseconds UTC of each user's first event.

    END_OF_HISTORY stands for users whom the dataset does not have.
    """
    first = self._start[self._bounds[np.maximum(codes, 0)]]
    return np.where(codes < 0, END_OF_HISTORY, first)

  def pair_mask(self, event_ids: Sequence[str]) -> np.ndarray:
    """[num_pairs] bool, the pairs of some event ids.

    Raises:
      UserError: if the log has no event of such an id.
    """
    known = self.pairs[schema.EVENT_ID]
    missing = set(event_ids) - set(known.unique())
    if missing:
      raise UserError(
          f"the log has no event with the event_id {cells.some(missing)}. Write"
          " the ids as the log does."
      )
    return known.is_in(list(event_ids)).to_numpy()

  def read(self, number: int) -> Mapping[str, Any]:
    """Reads one sequence, as `EventSource` gives it; its arrays are read-only.

    Args:
      number: of the sequence, in the order of users and times.
    """
    found = self.recent.get(number)
    if found is None:
      source = self._sources[self._split[number]]
      found = source[int(self._index[number])]
      for values in found.values():
        if isinstance(values, np.ndarray):
          values.setflags(write=False)
      self.recent.put(number, found)
    return found

  def before(
      self,
      code: int,
      time: int,
      *,
      max_events: int | None = None,
      excluded: np.ndarray | None = None,
  ) -> dict[str, np.ndarray]:
    """The events of a user strictly before a time, in time order.

    Sequences are read from the newest one back, and no more of them than are
    needed.

    Args:
      code: of the user; -1 has no events.
      time: microseconds UTC; END_OF_HISTORY takes all events.
      max_events: how many of the last events are taken; None takes all.
      excluded: [num_pairs] bool, pairs that are left out; they do not count
        towards `max_events`.

    Returns:
      `pair`, `timestamp` and the extra columns, each [n]. The arrays may be
      shared with other callers and are read-only then.
    """
    parts: list[dict[str, np.ndarray]] = []
    missing = END_OF_HISTORY if max_events is None else max_events
    first, last = self._bounds[code : code + 2] if code >= 0 else (0, 0)
    # A sequence that starts at or after the time has no event before it.
    last = first + np.searchsorted(self._start[first:last], time)
    for number in range(last - 1, first - 1, -1):
      if missing <= 0:
        break
      example = self.read(number)
      end = int(np.searchsorted(example[schema.TIMESTAMP], time))
      keep: slice | np.ndarray = slice(max(0, end - missing), end)
      if excluded is not None:
        keep = np.flatnonzero(~excluded[example["pair"][:end]])[-missing:]
      part = {name: values[keep] for name, values in _arrays(example).items()}
      missing -= len(part["pair"])
      parts.append(part)
    if not parts:
      return self._no_events()
    if len(parts) == 1:
      return parts[0]
    parts.reverse()
    return {
        name: np.concatenate([part[name] for part in parts])
        for name in parts[0]
    }

  def _no_events(self) -> dict[str, np.ndarray]:
    """Arrays of no event, with the types of the dataset."""
    if self._nothing is None:
      example = self.read(0)
      self._nothing = {
          name: values[:0].copy() for name, values in _arrays(example).items()
      }
    return dict(self._nothing)


def _arrays(example: Mapping[str, Any]) -> dict[str, np.ndarray]:
  return {
      name: values
      for name, values in example.items()
      if isinstance(values, np.ndarray)
  }
