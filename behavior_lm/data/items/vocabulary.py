"""The items that a model knows, and the actions that events are.

An item is a design id, whatever event it occurs with. Its token is
NUM_SPECIAL plus its row in the table, the most frequent first; an item that is
not in the table reads as UNK, and the padding is PAD.
"""

from collections.abc import Sequence
import dataclasses
from pathlib import Path

import numpy as np
import polars as pl

from behavior_lm.common.errors import first_line
from behavior_lm.common.errors import UserError
from behavior_lm.common.files import whole_file
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset

_ITEMS, _ACTIONS = "items.parquet", "actions.parquet"
_COUNT = "train_count"


@dataclasses.dataclass(frozen=True)
class ItemVocabulary:
  """Raw ids of items and actions, and how often training has seen them.

  Attributes:
    items: `design_id` and `train_count` of each item, the most frequent first.
    actions: `event_id` and `train_count` likewise.
  """

  items: pl.DataFrame
  actions: pl.DataFrame

  def __len__(self) -> int:
    return self.items.height

  @property
  def vocab_size(self) -> int:
    """Tokens, the special ones included."""
    return schema.NUM_SPECIAL + len(self)

  @property
  def counts(self) -> np.ndarray:
    """[num_items] int64 occurrences in training."""
    return self.items[_COUNT].to_numpy().astype(np.int64)

  @property
  def ids(self) -> list[str]:
    """[num_items] raw ids; item i has the token NUM_SPECIAL + i."""
    return self.items[schema.DESIGN_ID].to_list()

  def tokens(self, items: Sequence[str]) -> np.ndarray:
    """Raw ids -> [n] int32 tokens; UNK for an item that is not known."""
    return _codes(
        pl.Series(items, dtype=pl.String),
        self.items[schema.DESIGN_ID],
        schema.NUM_SPECIAL,
        schema.UNK_ID,
    )

  def pair_tokens(self, pairs: pl.DataFrame) -> np.ndarray:
    """[num_pairs] int32 token of each pair code; PAD for a pair without item.

    Args:
      pairs: of a dataset.
    """
    tokens = self.tokens(pairs[schema.DESIGN_ID].to_list())
    none = (pairs[schema.DESIGN_ID] == schema.NO_DESIGN).to_numpy()
    return np.where(none, schema.PAD_ID, tokens).astype(np.int32)

  def pair_actions(self, pairs: pl.DataFrame) -> np.ndarray:
    """[num_pairs] int32 action of each pair code, from 1; 0 is unknown."""
    return self.action_codes(pairs[schema.EVENT_ID].to_list())

  def action_codes(self, actions: Sequence[str]) -> np.ndarray:
    """Raw event ids -> [n] int32, from 1; 0 is unknown."""
    return _codes(
        pl.Series(actions, dtype=pl.String),
        self.actions[schema.EVENT_ID],
        1,
        schema.UNKNOWN_CATEGORY,
    )

  def save(self, folder: Path) -> None:
    """Writes items.parquet and actions.parquet, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in ((_ITEMS, self.items), (_ACTIONS, self.actions)):
      with whole_file(folder / name) as temporary:
        table.write_parquet(temporary)


def fit_items(
    dataset: Dataset, *, max_items: int, min_count: int
) -> ItemVocabulary:
  """The vocabulary of a dataset, from its training split alone.

  Args:
    dataset: prepared logs.
    max_items: most frequent items that are kept; 0 keeps all.
    min_count: an item that training has seen less often is unknown.

  Raises:
    UserError: if no item is left.
  """
  if max_items < 0 or min_count < 1:
    raise UserError(
        f"vocabulary.max_items is {max_items} and vocabulary.min_count is"
        f" {min_count}; give at least 0 and at least 1."
    )
  items = _table(
      dataset.pairs.filter(pl.col(schema.DESIGN_ID) != schema.NO_DESIGN),
      schema.DESIGN_ID,
  ).filter(pl.col(_COUNT) >= min_count)
  if max_items:
    items = items.head(max_items)
  if not items.height:
    raise UserError(
        f"{dataset.path}: no item (design id other than"
        f" {schema.NO_DESIGN!r}) occurs {min_count} times in train. Lower"
        " --config.vocabulary.min_count, or prepare the log with the items as"
        " --columns design_id=NAME."
    )
  return ItemVocabulary(items, _table(dataset.pairs, schema.EVENT_ID))


def extend_items(
    known: ItemVocabulary, newer: ItemVocabulary
) -> ItemVocabulary:
  """The vocabulary of a run that goes on with newer logs.

  Args:
    known: of the run so far; its items and actions keep their tokens.
    newer: of the newer logs.

  Returns:
    All items of both, those of `known` first; counts are added up.
  """
  tables = []
  for old, new in (
      (known.items, newer.items), (known.actions, newer.actions)
  ):
    column = old.columns[0]
    both = old.join(new, on=column, how="left", maintain_order="left")
    total = pl.col(_COUNT) + pl.col(f"{_COUNT}_right").fill_null(0)
    added = new.join(old, on=column, how="anti", maintain_order="left")
    tables.append(
        pl.concat([both.select(column, total.alias(_COUNT)), added])
    )
  return ItemVocabulary(*tables)


def load_items(folder: str | Path) -> ItemVocabulary:
  """Reads what `save` wrote.

  Raises:
    UserError: if a file is missing or damaged.
  """
  tables = []
  for name, column in (
      (_ITEMS, schema.DESIGN_ID), (_ACTIONS, schema.EVENT_ID)
  ):
    path = Path(folder) / name
    try:
      tables.append(pl.read_parquet(path).select(column, _COUNT))
    except (OSError, pl.exceptions.PolarsError) as error:
      raise UserError(
          f"{path}: cannot be read as an item vocabulary"
          f" ({first_line(error)}). Train the run again, or restore the file."
      ) from error
  return ItemVocabulary(*tables)


def _table(pairs: pl.DataFrame, column: str) -> pl.DataFrame:
  return (
      pairs.group_by(column)
      .agg(pl.col(_COUNT).sum().cast(pl.Int64))
      .filter(pl.col(_COUNT) > 0)
      .sort(_COUNT, column, descending=[True, False])
  )


def _codes(
    values: pl.Series, table: pl.Series, first: int, unknown: int
) -> np.ndarray:
  known = {value: first + place for place, value in enumerate(table)}
  return np.fromiter(
      (known.get(value, unknown) for value in values), np.int32, len(values)
  )
