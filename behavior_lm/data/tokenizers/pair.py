"""One token for each frequent (event, design) pair.

The older recipe of the field: the smallest unit is the pair of behaviour id
and design id, the vocabulary is capped.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers.alphabet import Alphabet
from behavior_lm.data.tokenizers.base import Settings
from behavior_lm.data.tokenizers.base import Tokenizer
from behavior_lm.logs import schema


class PairTokenizer(Tokenizer):
  """Ids: specials, then events alone, then pairs.

  Args:
    events: event ids that stand for any design.
    pairs: (event id, design id).
    settings: of the tokenizer; the defaults when None.
  """

  kind = "pair"

  def __init__(
      self,
      events: Iterable[str],
      pairs: Iterable[tuple[str, str]],
      settings: Settings | None = None,
  ) -> None:
    super().__init__(Alphabet(events, pairs), settings)

  @classmethod
  def train(
      cls,
      pairs: pl.DataFrame,
      vocab_size: int = 7_000,
      settings: Settings | None = None,
  ) -> "PairTokenizer":
    """Chooses the vocabulary from counts on the training split alone.

    Args:
      pairs: columns event_id, design_id, train_count (see `Dataset`).
      vocab_size: ids in all, specials and fallbacks included.
      settings: of the tokenizer.

    Raises:
      UserError: if the size leaves no room or nothing was counted.
    """
    if vocab_size < schema.NUM_SPECIAL + 4:
      raise UserError(
          f"vocab_size is {vocab_size}; {schema.NUM_SPECIAL} ids are special,"
          f" so ask for at least {schema.NUM_SPECIAL + 4}."
      )
    alphabet = Alphabet.choose(pairs, vocab_size - schema.NUM_SPECIAL)
    return cls(alphabet.events, alphabet.pairs, settings)

  @property
  def vocab_size(self) -> int:
    return schema.NUM_SPECIAL + len(self.alphabet)

  @property
  def one_token_an_event(self) -> bool:
    return not (self.settings.sep_tokens or self.settings.collapse_repeats)

  def segment(
      self, units: np.ndarray, starts: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    del starts  # A token of one unit crosses nothing.
    tokens = np.where(units < 0, schema.UNK_ID, units + schema.NUM_SPECIAL)
    return tokens.astype(np.int32), np.ones(len(units), np.int32)

  def token_units(self, token: int) -> tuple[int, ...]:
    if token >= schema.NUM_SPECIAL:
      return (token - schema.NUM_SPECIAL,)
    return (-1,) if token == schema.UNK_ID else ()

  @classmethod
  def from_json(cls, content: dict[str, Any], path: Path) -> "PairTokenizer":
    """Checks the content of `tokenizer.json`, read from `path`."""
    alphabet = Alphabet.from_json(content, str(path))
    settings = Settings.from_json(content.get("settings", {}), str(path))
    return cls(alphabet.events, alphabet.pairs, settings)
