"""The items of each user, in order, out of the sequences of some splits."""

from collections.abc import Mapping, Sequence
import dataclasses

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data import fields
from behavior_lm.data import windows
from behavior_lm.data.items.vocabulary import ItemVocabulary
from behavior_lm.data.reading import Reading
from behavior_lm.data.token_source import Fields
from behavior_lm.data.token_source import token_fields
from behavior_lm.data.tokenizers.base import Tokens
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset

# What was done with the item, as a feature of the token.
ACTION = "action"


@dataclasses.dataclass(frozen=True)
class Histories:
  """Events of users, user after user, each user's in order of time.

  They are held in memory: some 16 bytes an event and those of the extras.

  Attributes:
    users: raw ids, in the order of the dataset.
    offsets: [num_users + 1] int64: events of user i are offsets[i] to
      offsets[i + 1].
    tokens: [num_events] int32; events without an item are left out.
    times: [num_events] int64 microseconds UTC.
    extras: [num_events] each.
  """

  users: list[str]
  offsets: np.ndarray
  tokens: np.ndarray
  times: np.ndarray
  extras: dict[str, np.ndarray]

  def __len__(self) -> int:
    return len(self.users)

  @property
  def lengths(self) -> np.ndarray:
    """[num_users] int64 events of each user."""
    return np.diff(self.offsets)

  def items(self, user: int) -> np.ndarray:
    """[n] int32 tokens of a user's events."""
    return self.tokens[self.offsets[user] : self.offsets[user + 1]]


def read_histories(
    dataset: Dataset,
    splits: Sequence[str],
    vocabulary: ItemVocabulary,
    reading: Reading,
    users: Sequence[str] | None = None,
) -> Histories:
  """Reads the items of users in some splits, joined in order of time.

  Args:
    dataset: prepared logs.
    splits: in order of time, train and valid for example.
    vocabulary: of the model.
    reading: its extras are read.
    users: the users to read, in this order (one without events is empty);
      None reads all that the splits have.

  Raises:
    UserError: if there is no such split.
  """
  tables = [
      dataset.sequences(split)
      .select(schema.USER_ID, "start", "index")
      .with_columns(pl.lit(place).alias("split"))
      for place, split in enumerate(splits)
  ]
  table = pl.concat(tables).with_row_index("row")
  if users is None:
    users = table[schema.USER_ID].unique(maintain_order=True).to_list()
  wanted = pl.DataFrame(
      {schema.USER_ID: users}, schema={schema.USER_ID: pl.String}
  ).with_row_index("user")
  table = table.join(wanted, on=schema.USER_ID).sort(
      "user", "split", "start", "row"
  )
  sources = [dataset.source(split) for split in splits]
  token_of = vocabulary.pair_tokens(dataset.pairs)
  action_of = vocabulary.pair_actions(dataset.pairs)
  names = reading.extras
  parts: dict[str, list[np.ndarray]] = {
      name: [] for name in ("tokens", "times", *names)
  }
  counts = np.zeros(len(users), np.int64)
  for user, split, index in table.select("user", "split", "index").iter_rows():
    example = sources[split][index]
    tokens = token_of[example["pair"]]
    kept = tokens != schema.PAD_ID
    counts[user] += kept.sum()
    parts["tokens"].append(tokens[kept])
    parts["times"].append(example[schema.TIMESTAMP][kept])
    for name in names:
      values = (
          action_of[example["pair"]] if name == ACTION else example[name]
      )
      parts[name].append(values[kept])
  empty: dict[str, np.ndarray] = {
      "tokens": np.zeros(0, np.int32), "times": np.zeros(0, np.int64)
  }
  joined = {
      name: np.concatenate(found) if found else empty.get(name, np.zeros(0))
      for name, found in parts.items()
  }
  return Histories(
      list(users),
      np.concatenate([[0], np.cumsum(counts)]),
      joined.pop("tokens"),
      joined.pop("times"),
      joined,
  )


class ItemSource:
  """Random access to users' token sequences, as `windows.WindowSource` asks.

  Args:
    histories: of the users.
    reading: what the model reads beside the tokens.
  """

  def __init__(self, histories: Histories, reading: Reading) -> None:
    self.histories = histories
    self.reading = reading

  def __len__(self) -> int:
    return len(self.histories)

  def __getitem__(self, index: int) -> Fields:
    """The fields of a user's events, see `token_source.token_fields`."""
    return self.read(index)

  def read(self, index: int, last: int | None = None) -> Fields:
    """The fields of a user's last events, `last` of them at most."""
    found = self.histories
    end = int(found.offsets[index + 1])
    begin = int(found.offsets[index])
    first = found.times[begin] if begin < end else None
    if last is not None:
      begin = max(begin, end - last)
    here = slice(begin, end)
    size = end - begin
    tokens = Tokens(
        found.tokens[here], np.ones(size, np.int32), np.zeros(size, np.int32)
    )
    return token_fields(
        tokens,
        found.times[here],
        self.reading,
        extras={name: values[here] for name, values in found.extras.items()},
        first_event=None if first is None else int(first),
    )


def tail_batch(
    source: ItemSource, users: Sequence[int] | np.ndarray, max_length: int
) -> dict[str, np.ndarray]:
  """The last events of users behind CLS, one row each.

  Args:
    source: of the users.
    users: rows in it.
    max_length: of a row, CLS included.

  Returns:
    Arrays [users, max_length] of all fields, and `last` [users, 1] int32: the
    place of each user's last event, where the next one is predicted. It is
    the place of CLS for a user without events.
  """
  table = source.reading.table
  batch: dict[str, np.ndarray] = {}
  last = np.zeros((len(users), 1), np.int32)
  for row, user in enumerate(users):
    # One event more, so that the first of the row has its gap.
    found = source.read(user, max_length)
    total = len(found["tokens"])
    size = min(total, max_length - 1)
    cut = _behind_cls(found, total - size, total, table)
    cut["segment_ids"] = np.ones(size + 1, np.int32)
    cut["positions"] = np.arange(size + 1, dtype=np.int32)
    for name, values in cut.items():
      if name not in batch:
        batch[name] = fields.padding(name, (len(users), max_length), table)
      batch[name][row, : size + 1] = values
    last[row] = size
  return batch | {"last": last}


def _behind_cls(
    found: Fields, begin: int, end: int, table: Mapping[str, fields.Field]
) -> Fields:
  if begin < end:
    return windows.cut_window(found, begin, end, table)
  about = {name: fields.find_field(name, table) for name in found}
  return {
      name: np.full(1, field.at_cls, field.dtype)
      for name, field in about.items()
  }


def known_items(tokens: np.ndarray) -> np.ndarray:
  """Tokens of a history -> items in order, without the unknown ones."""
  return tokens[tokens >= schema.NUM_SPECIAL] - schema.NUM_SPECIAL


def check_items(histories: Histories, where: str) -> None:
  """Raises UserError if no user has an item."""
  if not histories.offsets[-1]:
    raise UserError(
        f"{where}: has no event with an item. Prepare the log with the items"
        " as --columns design_id=NAME."
    )
