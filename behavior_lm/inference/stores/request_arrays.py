"""One user and many candidates as arrays, with NumPy alone.

`inference.ranker` and exported rankers, which hold this file, share it: both
give their models the same numbers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import dataclasses
from typing import Any

import numpy as np

from behavior_lm.data.features.values import hash_bucket
from behavior_lm.data.features.values import MISSING
from behavior_lm.data.features.values import normalise
from behavior_lm.data.features.values import NUM_SPECIAL
from behavior_lm.data.features.values import UNKNOWN
from behavior_lm.data.features.values import value_ids


class RequestError(ValueError):
  """A request that cannot be answered."""


@dataclasses.dataclass(frozen=True)
class UserActions:
  """What a user did, in any order.

  Attributes:
    events: [n] event ids, as in the logs of training.
    items: [n] design ids.
    times: [n] int64 microseconds UTC.
  """

  events: Sequence[str] = ()
  items: Sequence[str] = ()
  times: Sequence[int] = ()


class RequestArrays:
  """What a ranker reads, by what its run learned of the features.

  Args:
    about: `FeatureSpace.to_json()`, and beside it `candidate` (the column),
      `action_table`, `num_actions` and `user_dim`.
    items: encoded features of all items; row 0 is the unknown one.
    names: of the items, in the order of their rows from 1 on.
  """

  def __init__(
      self,
      about: Mapping[str, Any],
      items: Mapping[str, np.ndarray],
      names: Sequence[str],
  ) -> None:
    self.about, self.items, self.names = about, items, names
    self._row_of = {name: row + 1 for row, name in enumerate(names)}
    self._tables = {k: _Table(x) for k, x in about["tables"].items()}
    self._columns = {
        name: (place, self._tables[one["table"] or name])
        for place, (name, one) in enumerate(
            about["schema"]["categorical"].items()
        )
    }
    self._numbers = list(about["schema"]["dense"])

  def rank(
      self,
      score: Callable[[dict[str, np.ndarray], dict[str, np.ndarray]], Any],
      candidates: Sequence[str],
      *,
      sizes: Sequence[int],
      num_heads: int,
      time: int,
      actions: UserActions | None,
      context: Mapping[str, Any] | None,
      user_vector: np.ndarray | None,
  ) -> np.ndarray:
    """Scores candidates for one user; see `inference.ranker` for arguments.

    Args:
      score: fields of the candidates and of the user -> [rows, heads].
      candidates, sizes: see `batches`.
      num_heads: numbers that `score` gives per candidate.
      time, actions, user_vector: see `user`.
      context: see `context`.

    Returns:
      [candidates, heads] float32.

    Raises:
      RequestError: if an action is not before the request, or a context column
        is no feature.
    """
    user = self.user(actions or UserActions(), time, user_vector)
    shared = self.context(context or {})
    found = [np.zeros((0, num_heads), np.float32)]
    for number, arrays in self.batches(candidates, shared, sizes):
      found.append(np.asarray(score(arrays, user))[:number])
    return np.concatenate(found)

  def user(
      self,
      actions: UserActions,
      time: int,
      user_vector: np.ndarray | None = None,
  ) -> dict[str, np.ndarray]:
    """The fields of the user, one row each.

    Raises:
      RequestError: if an action is not before the request.
    """
    out: dict[str, np.ndarray] = {}
    if self.about["user_dim"]:
      given = np.zeros(self.about["user_dim"], np.float32)
      if user_vector is not None:
        given = np.asarray(user_vector, np.float32)
      length = max(float(np.linalg.norm(given)), 1e-9)
      out["user_vector"] = (given / length)[None]
    length = self.about["num_actions"]
    if not length:
      return out
    types = self._tables[self.about["action_table"]]
    items = self._columns[self.about["candidate"]][1]
    times = np.asarray(actions.times, np.int64)
    if (times >= time).any():
      raise RequestError(
          f"request at {time}: an action is at or after the time of its"
          " request, so it may give the answer away. Give actions strictly"
          " before the request alone."
      )
    newest = np.argsort(-times, kind="stable")[:length]
    own_types = np.array([types(event) for event in actions.events], np.int32)
    number = len(newest)
    out |= {
        "action_types": np.zeros((1, length), np.int32),
        "action_items": np.zeros((1, length), np.int32),
        "action_ages": np.zeros((1, length), np.float32),
        "action_counts": np.zeros((1, types.size), np.float32),
    }
    out["action_types"][0, :number] = own_types[newest]
    out["action_items"][0, :number] = [items(actions.items[n]) for n in newest]
    out["action_ages"][0, :number] = (time - times[newest]) / 1e6
    np.add.at(out["action_counts"][0], own_types - types.offset, 1)
    return out

  def context(
      self, values: Mapping[str, Any]
  ) -> dict[str, dict[int, float]]:
    """{"ids" or "dense": {column: number}} that all candidates share.

    Raises:
      RequestError: if a name is no feature of one value.
    """
    found: dict[str, dict[int, float]] = {"ids": {}, "dense": {}}
    for name, value in values.items():
      if name in self._columns:
        place, table = self._columns[name]
        found["ids"][place] = table(None if value is None else str(value))
      elif name in self._numbers:
        found["dense"] |= self._dense(self._numbers.index(name), value)
      else:
        known = ", ".join([*self._columns, *self._numbers])
        raise RequestError(
            f"context column {name!r} is no feature of one value; they are"
            f" {known}."
        )
    return found

  def batches(
      self,
      candidates: Sequence[str],
      shared: Mapping[str, Mapping[int, float]],
      sizes: Sequence[int],
  ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Numbers of candidates, and their fields.

    Args:
      candidates: names of items; one that is not known is the unknown one.
      shared: see `context`.
      sizes: ascending; fields have the next larger one of rows, and more
        candidates than the largest one are cut into parts.
    """
    for first in range(0, len(candidates), sizes[-1]):
      part = candidates[first : first + sizes[-1]]
      rows = np.zeros(next(n for n in sizes if n >= len(part)), np.int64)
      rows[: len(part)] = [self._row_of.get(name, 0) for name in part]
      arrays = {name: values[rows] for name, values in self.items.items()}
      for name, columns in shared.items():
        for place, number in columns.items():
          arrays[name][:, place] = number
      yield len(part), arrays

  def _dense(self, place: int, value: float | None) -> dict[int, float]:
    about = self.about["normalisers"]
    one = about[place]
    given = np.array([np.nan if value is None else value], np.float64)
    out = normalise(
        given,
        transform=self.about["schema"]["dense"][self._numbers[place]],
        mean=one["mean"],
        std=one["std"],
        borders=one["borders"],
    )
    found = {place: float(out[0])}
    if one["has_missing"]:
      before = sum(other["has_missing"] for other in about[:place])
      found[len(about) + before] = float(np.isnan(given[0]))
    return found


class _Table:
  """Ids of values, as `features.tables.ValueTable` has them."""

  def __init__(self, about: Mapping[str, Any]) -> None:
    self.offset, self.buckets = about["offset"], about["buckets"]
    values = about["values"]
    ids = value_ids(self.offset, len(values), about.get("later", ()))
    self.known = dict(zip(values, ids, strict=True))
    self.size = NUM_SPECIAL + (self.buckets or len(self.known))

  def __call__(self, value: str | None) -> int:
    if value is None:
      return int(self.offset + MISSING)
    if self.buckets:
      bucket = hash_bucket(value, self.buckets)
      return int(self.offset + NUM_SPECIAL + bucket)
    return int(self.known.get(value, self.offset + UNKNOWN))
