"""The units that a tokenizer knows: events alone, and (event, design) pairs.

A pair outside of the alphabet falls back to its event alone, and an unknown
event to nothing (-1). Neither ever raises.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema

# Events alone may take at most this share: they are the fallback, the pairs
# carry the information.
MAX_EVENT_SHARE = 0.25
UNKNOWN = -1


class Alphabet:
  """Units are numbered: events alone first, then pairs.

  Args:
    events: event ids that stand for any design.
    pairs: (event id, design id).

  Raises:
    UserError: if one is listed twice.
  """

  def __init__(
      self, events: Iterable[str], pairs: Iterable[tuple[str, str]]
  ) -> None:
    self.events = tuple(events)
    self.pairs = tuple((event, design) for event, design in pairs)
    self._event_units = {event: i for i, event in enumerate(self.events)}
    self._pair_units = {
        pair: len(self.events) + i for i, pair in enumerate(self.pairs)
    }
    if len(self._event_units) != len(self.events):
      raise UserError("the tokenizer lists an event twice")
    if len(self._pair_units) != len(self.pairs):
      raise UserError("the tokenizer lists a pair twice")

  @classmethod
  def choose(cls, pairs: pl.DataFrame, size: int) -> "Alphabet":
    """The most frequent units of the training split.

    Args:
      pairs: columns event_id, design_id, train_count (see `Dataset`).
      size: units at most, at least 2.

    Raises:
      UserError: if nothing was counted.
    """
    seen = pairs.filter(pl.col("train_count") > 0)
    if seen.is_empty():
      raise UserError(
          "no event in the training split: the vocabulary would be empty."
          " Check --split_time."
      )
    # Equal counts are ordered by name, so that the ids do not depend on the
    # order of the table.
    by_count = [pl.col("train_count"), pl.col("event_id")]
    events = (
        seen.group_by("event_id")
        .agg(pl.col("train_count").sum())
        .sort(by_count, descending=[True, False])
    )
    max_events = max(1, int(size * MAX_EVENT_SHARE))
    event_ids = events.head(max_events)["event_id"].to_list()
    ranked = seen.sort(
        [*by_count, pl.col("design_id")], descending=[True, False, False]
    ).head(size - len(event_ids))
    chosen = zip(
        ranked["event_id"].to_list(), ranked["design_id"].to_list(), strict=True
    )
    return cls(event_ids, chosen)

  def __len__(self) -> int:
    return len(self.events) + len(self.pairs)

  def units(
      self, event_ids: Sequence[str], design_ids: Sequence[str]
  ) -> np.ndarray:
    """[n] event ids and [n] design ids -> [n] int32 units, -1 = unknown."""
    if len(event_ids) != len(design_ids):
      raise UserError(
          f"{len(event_ids)} event ids but {len(design_ids)} design ids; every"
          f" event needs one ({schema.NO_DESIGN!r} when it has none)."
      )
    events, pairs = self._event_units, self._pair_units
    found = [
        pairs.get((event, design), events.get(event, UNKNOWN))
        for event, design in zip(event_ids, design_ids, strict=True)
    ]
    return np.asarray(found, np.int32)

  def table(self, pairs: pl.DataFrame) -> np.ndarray:
    """Pair codes of a dataset -> units, [num_pairs] int32."""
    events, designs = pairs["event_id"], pairs["design_id"]
    return self.units(events.to_list(), designs.to_list())

  def ids(self, unit: int) -> tuple[str | None, str | None]:
    """(event, design) of a unit; None stands for what it does not tell."""
    if unit < 0:
      return None, None
    if unit < len(self.events):
      return self.events[unit], None
    return self.pairs[unit - len(self.events)]

  def name(self, unit: int) -> str:
    """A readable name: `event#design`, `event#*` or `?`."""
    event, design = self.ids(unit)
    if event is None:
      return "?"
    return f"{event}#{'*' if design is None else design}"

  def coverage(
      self, pairs: pl.DataFrame, counts: str = "train_count"
  ) -> dict[str, float]:
    """Shares of events by what became of them, weighted by column `counts`."""
    units = self.table(pairs)
    weight = pairs[counts].to_numpy().astype(np.float64)
    total = max(weight.sum(), 1.0)
    exact = float(weight[units >= len(self.events)].sum() / total)
    unknown = float(weight[units < 0].sum() / total)
    return {
        "exact": exact,
        "event_alone": max(0.0, 1.0 - exact - unknown),
        "unknown": unknown,
    }

  def hidden_bytes(self, pairs: pl.DataFrame) -> np.ndarray:
    """Bytes of each pair that its unit does not tell, [num_pairs] int32.

    An exact pair hides nothing; an event alone hides the design id; unknown
    hides both. One byte is added for the end of each hidden id. Used to charge
    a capped alphabet for what it cannot say (bits per raw event).
    """
    units = self.table(pairs)
    design = pairs["design_id"].str.len_bytes().to_numpy().astype(np.int32) + 1
    event = pairs["event_id"].str.len_bytes().to_numpy().astype(np.int32) + 1
    hidden = np.where(units >= len(self.events), 0, design)
    return np.where(units < 0, design + event, hidden)

  def to_json(self) -> dict[str, list]:
    return {
        "events": list(self.events),
        "pairs": [list(pair) for pair in self.pairs],
    }

  @classmethod
  def from_json(cls, content: dict, where: str) -> "Alphabet":
    """Raises UserError if `content`, read from `where`, is no alphabet."""
    try:
      events = [str(event) for event in content["events"]]
      pairs = [(str(event), str(design)) for event, design in content["pairs"]]
    except (KeyError, TypeError, ValueError) as error:
      raise UserError(
          f"{where}: 'events' or 'pairs' is missing or not a list ({error})."
      ) from error
    return cls(events, pairs)
