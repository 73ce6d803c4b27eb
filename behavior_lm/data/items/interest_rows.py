"""A long and a short sequence of each user: the two spans of a history.

Of n events in order of time, the last tenth (at least one) is the short span,
all before is the long one. A row holds each span behind CLS, cut to its newest
events where the row is shorter.
"""

from collections.abc import Iterator, Mapping
import dataclasses

from grain.experimental import index_shuffle
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data import fields
from behavior_lm.data.categories import NONE
from behavior_lm.data.categories import UNKNOWN
from behavior_lm.data.categories import Vocabularies
from behavior_lm.data.items.histories import Histories
from behavior_lm.data.items.histories import ItemSource
from behavior_lm.data.items.histories import known_items
from behavior_lm.data.reading import Reading
from behavior_lm.data.time_features import OF_SPAN
from behavior_lm.data.windows import cut_window
from behavior_lm.data.windows import mix64
from behavior_lm.logs.dataset import Dataset

LONG, SHORT = "long/", "short/"
CROPS = ("none", "random")
# A random part of a history has so many events at least, if there are.
_LEAST_PART = 20

Row = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Spans:
  """How histories are divided and laid out.

  Attributes:
    long_length, short_length: events that a row has room for.
    least_long, least_short: the described minima of these; a shorter row is
      refused.
    short_share: of a history that is the short span.
    span_days: unit of `from_start` and `to_end`.
    category: the extra column with the category of items; empty is none.
  """

  long_length: int
  short_length: int
  least_long: int = 100
  least_short: int = 10
  short_share: float = 0.1
  span_days: float = 1.0
  category: str = ""

  def __post_init__(self) -> None:
    for name, length, least in (
        ("long_length", self.long_length, self.least_long),
        ("short_length", self.short_length, self.least_short),
    ):
      if length < max(least, 1):
        raise ValueError(
            f"{name} is {length}, below the minimum of {max(least, 1)} slots"
        )
    if not 0 < self.short_share < 1:
      raise ValueError(
          f"short_share is {self.short_share}; give a share between 0 and 1"
      )
    if self.span_days <= 0:
      raise ValueError(f"span_days is {self.span_days}; give more than 0")

  def cut(self, size: int) -> int:
    """Events of the long span, of at least two; the others are short."""
    return size - max(1, round(self.short_share * size))


class InterestRows:
  """Rows by (epoch, place in the epoch), for `data.pipeline.make_loader`.

  Args:
    histories: of users; those with less than two events are left out.
    reading: what the model reads of an event.
    spans: how histories are divided.
    counts: [num_items] occurrences in training.
    crop: "none" reads whole histories; "random" another part of each in each
      epoch.
    seed: of the order of users and of the parts.
    shuffle: another order in each epoch.
    cuts: {place in histories: events of the long span}; where given, histories
      are read whole and only these users are.

  Raises:
    UserError: if no user is left.
  """

  def __init__(
      self,
      histories: Histories,
      reading: Reading,
      spans: Spans,
      counts: np.ndarray,
      *,
      crop: str = "none",
      seed: int = 0,
      shuffle: bool = True,
      cuts: Mapping[int, int] | None = None,
  ) -> None:
    self.histories = histories
    self.source = ItemSource(histories, reading)
    self.table = reading.table
    self.spans = spans
    self.crop = crop
    self.seed = seed
    self.shuffle = shuffle
    self._log_counts = np.log1p(counts)
    lengths = histories.lengths
    if cuts is None:
      users = np.flatnonzero(lengths >= 2)
      self.users = users
      self._cuts = {int(u): spans.cut(int(lengths[u])) for u in users}
    else:
      self.users = np.array(sorted(cuts), np.int64)
      self._cuts = dict(cuts)
    if not len(self.users):
      raise UserError(
          "no user has two events with an item, one for each of the long and"
          " the short sequence. Prepare more events."
      )
    self.rows_per_epoch = len(self.users)

  def __len__(self) -> int:
    # Grain asks for a length; a billion epochs is "without end".
    return self.rows_per_epoch * 10**9

  def __getitem__(self, index: int) -> Row:
    """Fields [long_length + 1] and [short_length + 1], and those of rows."""
    epoch, place = divmod(int(index), self.rows_per_epoch)
    if self.shuffle and self.rows_per_epoch > 1:
      place = index_shuffle(
          place,
          max_index=self.rows_per_epoch - 1,
          seed=mix64(self.seed, epoch) & 0xFFFFFFFF,
          rounds=4,
      )
    user = int(self.users[place])
    size = int(self.histories.lengths[user])
    begin, end, cut = 0, size, self._cuts[user]
    if self.crop == "random":
      begin, end = self._part(epoch, user, size)
      cut = begin + self.spans.cut(end - begin)
    return self.row(user, begin, cut, end)

  def row(self, user: int, begin: int, cut: int, end: int) -> Row:
    """Events [begin, cut) and [cut, end) of a user as one row."""
    spans = self.spans
    found = self.source[user]
    row = {
        LONG + name: values
        for name, values in self._span(
            found, begin, cut, spans.long_length
        ).items()
    } | {
        SHORT + name: values
        for name, values in self._span(
            found, cut, end, spans.short_length
        ).items()
    }
    first = int(self.histories.offsets[user])
    items = known_items(self.histories.tokens[first + cut : first + end])
    row["row_user"] = np.array(user, np.int32)
    row["short_popularity"] = np.array(
        self._log_counts[items].mean() if len(items) else 0.0, np.float32
    )
    category = -1
    if spans.category:
      values = self.histories.extras[spans.category][first + cut : first + end]
      category = main_category(values)
    row["short_category"] = np.array(category, np.int32)
    return row

  def batches(self, size: int) -> Iterator[tuple[np.ndarray, Row]]:
    """Places in `histories` and whole rows, in order, each user once."""
    lengths = self.histories.lengths
    for first in range(0, len(self.users), size):
      users = self.users[first : first + size]
      rows = [
          self.row(user, 0, self._cuts[user], int(lengths[user]))
          for user in users.tolist()
      ]
      yield users, {
          name: np.stack([row[name] for row in rows]) for name in rows[0]
      }

  def cut_of(self, user: int) -> int:
    """Events of a user's long span, where the history is read whole."""
    return self._cuts[user]

  def _part(self, epoch: int, user: int, size: int) -> tuple[int, int]:
    least = min(size, _LEAST_PART)
    length = least + mix64(self.seed, epoch, user, 1) % (size - least + 1)
    begin = mix64(self.seed, epoch, user, 2) % (size - length + 1)
    return begin, begin + length

  def _span(
      self, found: Mapping[str, np.ndarray], begin: int, end: int, room: int
  ) -> Row:
    return span_fields(
        found, max(begin, end - room), end, room, self.table, self.spans
    )


def span_fields(
    found: Mapping[str, np.ndarray],
    begin: int,
    end: int,
    room: int,
    table: Mapping[str, fields.Field],
    spans: Spans,
) -> Row:
  """The events [begin, end) of a history behind CLS, filled up with padding.

  Args:
    found: fields of the history, [num_events] each.
    begin, end: of the span, at least one event.
    room: events of the row.
    table: what fields are.
    spans: gives the unit of the times.

  Returns:
    [room + 1] each.
  """
  cut = cut_window(found, begin, end, table)
  days = cut["times"] / 86_400 / spans.span_days
  nothing = np.full(1, np.nan, np.float32)
  # Times of the span's own: absolute ones would tell which long and short
  # sequence follow each other.
  for name, values in zip(OF_SPAN, (days, days[-1] - days), strict=True):
    cut[name] = np.concatenate([nothing, values[1:].astype(np.float32)])
  size = end - begin + 1
  cut["segment_ids"] = np.ones(size, np.int32)
  cut["positions"] = np.arange(size, dtype=np.int32)
  row = {}
  for name, values in cut.items():
    row[name] = fields.padding(name, (room + 1,), table)
    row[name][:size] = values
  return row


def main_category(values: np.ndarray) -> int:
  """The most frequent category, the lowest of several; -1 without any."""
  known = values[values > 0]
  return int(np.bincount(known).argmax()) if len(known) else -1


def days_between(times: np.ndarray) -> float:
  """Days between the first and the last of [n] microseconds, at least 1."""
  if not len(times):
    return 1.0
  return max(float(times.max() - times.min()) / 86_400e6, 1.0)


def recode(
    histories: Histories, dataset: Dataset, known: Vocabularies
) -> Histories:
  """Histories with the category codes of a model instead of the dataset's.

  Args:
    histories: of the dataset.
    dataset: any.
    known: codes of the model; values that it does not have are unknown.
  """
  extras = dict(histories.extras)
  for name, vocabulary in known.items():
    values = dataset.categories(name)["value"].to_list()
    codes = np.array([vocabulary.get(value, UNKNOWN) for value in values])
    # Code -1 stands for none.
    table = np.append(codes, NONE).astype(np.int32)
    extras[name] = table[extras[name]]
  return dataclasses.replace(histories, extras=extras)
