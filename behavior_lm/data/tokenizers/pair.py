"""One token for each frequent (event, design) pair.

The older recipe of the field: the smallest unit is the pair of behaviour id
and design id, the vocabulary is capped. A pair outside of the vocabulary falls
back to its event alone, and an unknown event to UNK. Neither ever raises.
"""

from collections.abc import Sequence
import hashlib
import json
from pathlib import Path

import numpy as np
import polars as pl

from behavior_lm.data import schema
from behavior_lm.errors import UserError

FILE_NAME = "tokenizer.json"
# Event-alone tokens may take at most this share of the vocabulary: they are
# the fallback, the pairs carry the information.
MAX_EVENT_SHARE = 0.25


class PairTokenizer:
  """(event, design) pairs to ids: specials, then events alone, then pairs."""

  kind = "pair"

  def __init__(
      self, events: Sequence[str], pairs: Sequence[tuple[str, str]]
  ) -> None:
    self.events = tuple(events)
    self.pairs = tuple((event, design) for event, design in pairs)
    first_pair = schema.NUM_SPECIAL + len(self.events)
    self._event_ids = {
        event: schema.NUM_SPECIAL + i for i, event in enumerate(self.events)
    }
    self._pair_ids = {pair: first_pair + i for i, pair in enumerate(self.pairs)}
    if len(self._event_ids) != len(self.events):
      raise UserError("the tokenizer lists an event twice")
    if len(self._pair_ids) != len(self.pairs):
      raise UserError("the tokenizer lists a pair twice")

  @classmethod
  def train(
      cls, pairs: pl.DataFrame, vocab_size: int = 7_000
  ) -> "PairTokenizer":
    """Chooses the vocabulary from counts on the training split alone.

    Args:
      pairs: columns event_id, design_id, train_count (see `Dataset`).
      vocab_size: ids in all, specials and fallbacks included.

    Raises:
      UserError: if the size leaves no room or nothing was counted.
    """
    if vocab_size < schema.NUM_SPECIAL + 4:
      raise UserError(
          f"vocab_size is {vocab_size}; {schema.NUM_SPECIAL} ids are special,"
          f" so ask for at least {schema.NUM_SPECIAL + 4}."
      )
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
    room = vocab_size - schema.NUM_SPECIAL
    max_events = max(1, int(room * MAX_EVENT_SHARE))
    event_ids = events.head(max_events)["event_id"].to_list()
    ranked = seen.sort(
        [*by_count, pl.col("design_id")], descending=[True, False, False]
    ).head(room - len(event_ids))
    chosen = zip(
        ranked["event_id"].to_list(), ranked["design_id"].to_list(), strict=True
    )
    return cls(event_ids, list(chosen))

  @property
  def vocab_size(self) -> int:
    return schema.NUM_SPECIAL + len(self.events) + len(self.pairs)

  @property
  def tokens(self) -> list[str]:
    """Readable names, one for each id."""
    names = list(schema.SPECIAL_TOKENS)
    names += [f"{event}#*" for event in self.events]
    names += [f"{event}#{design}" for event, design in self.pairs]
    return names

  def encode(
      self, event_ids: Sequence[str], design_ids: Sequence[str]
  ) -> np.ndarray:
    """[n] event ids and [n] design ids -> [n] int32 token ids."""
    if len(event_ids) != len(design_ids):
      raise UserError(
          f"{len(event_ids)} event ids but {len(design_ids)} design ids; every"
          f" event needs one ({schema.NO_DESIGN!r} when it has none)."
      )
    events, pairs = self._event_ids, self._pair_ids
    ids = [
        pairs.get((event, design), events.get(event, schema.UNK_ID))
        for event, design in zip(event_ids, design_ids, strict=True)
    ]
    return np.asarray(ids, np.int32)

  def encode_table(self, pairs: pl.DataFrame) -> np.ndarray:
    """Pair codes of a dataset -> token ids, [num_pairs] int32."""
    events, designs = pairs["event_id"], pairs["design_id"]
    return self.encode(events.to_list(), designs.to_list())

  def decode(
      self, token_ids: Sequence[int] | np.ndarray
  ) -> list[tuple[str | None, str | None]]:
    """Token ids -> (event, design); None stands for what a token left out."""
    first_pair = schema.NUM_SPECIAL + len(self.events)
    out: list[tuple[str | None, str | None]] = []
    for token in np.asarray(token_ids).tolist():
      if not 0 <= token < self.vocab_size:
        raise UserError(
            f"token id {token} is outside of the vocabulary of"
            f" {self.vocab_size}."
        )
      if token < schema.NUM_SPECIAL:
        out.append((None, None))
      elif token < first_pair:
        out.append((self.events[token - schema.NUM_SPECIAL], None))
      else:
        out.append(self.pairs[token - first_pair])
    return out

  def coverage(self, pairs: pl.DataFrame, counts: str = "train_count") -> dict:
    """Shares of events by what became of them, weighted by column `counts`."""
    tokens = self.encode_table(pairs)
    weight = pairs[counts].to_numpy().astype(np.float64)
    total = max(weight.sum(), 1.0)
    first_pair = schema.NUM_SPECIAL + len(self.events)
    exact = float(weight[tokens >= first_pair].sum() / total)
    unknown = float(weight[tokens == schema.UNK_ID].sum() / total)
    return {
        "exact": exact,
        "event_alone": max(0.0, 1.0 - exact - unknown),
        "unknown": unknown,
    }

  def hidden_bytes(self, pairs: pl.DataFrame) -> np.ndarray:
    """Bytes of each pair that its token does not tell, [num_pairs] int32.

    An exact pair hides nothing; an event alone hides the design id; UNK hides
    both. One byte is added for the end of each hidden id. Used to charge a
    capped vocabulary for what it cannot say (bits per raw event).
    """
    tokens = self.encode_table(pairs)
    design = pairs["design_id"].str.len_bytes().to_numpy().astype(np.int32) + 1
    event = pairs["event_id"].str.len_bytes().to_numpy().astype(np.int32) + 1
    first_pair = schema.NUM_SPECIAL + len(self.events)
    hidden = np.where(tokens >= first_pair, 0, design)
    return np.where(tokens == schema.UNK_ID, design + event, hidden)

  @property
  def fingerprint(self) -> str:
    """SHA-256 over everything that decides an encoding."""
    text = json.dumps([self.kind, self.events, self.pairs], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()

  def save(self, folder: str | Path) -> None:
    """Writes `tokenizer.json` into the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "kind": self.kind,
        "specials": list(schema.SPECIAL_TOKENS),
        "events": list(self.events),
        "pairs": [list(pair) for pair in self.pairs],
        "fingerprint": self.fingerprint,
    }
    temporary = folder / (FILE_NAME + ".tmp")
    temporary.write_text(json.dumps(content, ensure_ascii=False, indent=0))
    temporary.replace(folder / FILE_NAME)

  @classmethod
  def from_json(cls, content: dict, where: str) -> "PairTokenizer":
    """Checks the content of `tokenizer.json`, read from `where`."""
    if content.get("specials") != list(schema.SPECIAL_TOKENS):
      raise UserError(f"{where}: other special tokens than this version's.")
    try:
      events = [str(event) for event in content["events"]]
      pairs = [(str(event), str(design)) for event, design in content["pairs"]]
    except (KeyError, TypeError, ValueError) as error:
      raise UserError(
          f"{where}: 'events' or 'pairs' is missing or not a list ({error})."
      ) from error
    tokenizer = cls(events, pairs)
    if tokenizer.fingerprint != content.get("fingerprint"):
      raise UserError(
          f"{where}: the content does not match its fingerprint; the file was"
          " changed or damaged. Restore it, or build the tokenizer again."
      )
    return tokenizer
