"""Byte-pair encoding over events: one token for a frequent chain of events.

The newer recipe of the field: every (event, design) pair is one character,
SentencePiece merges frequent neighbours, and a history of 3,000 events
becomes some 500 tokens.
"""

from collections.abc import Iterable, Iterator
import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers import piece_model
from behavior_lm.data.tokenizers.alphabet import Alphabet
from behavior_lm.data.tokenizers.base import run_starts
from behavior_lm.data.tokenizers.base import Settings
from behavior_lm.data.tokenizers.base import Tokenizer
from behavior_lm.logs import schema

MODEL_FILE = "bpe.model"
# What SentencePiece takes.
MAX_PIECE_EVENTS = 512
# One sequence: [n] pair codes and [n] timestamps, int64 microseconds.
Sequence = tuple[np.ndarray, np.ndarray]


class BpeTokenizer(Tokenizer):
  """Ids: specials, then units and chains of units.

  Args:
    alphabet: the units.
    model: of SentencePiece, over one character a unit.
    settings: of the tokenizer; the defaults when None.

  Raises:
    UserError: if the model is not one over this alphabet.
  """

  kind = "bpe"

  def __init__(
      self, alphabet: Alphabet, model: bytes, settings: Settings | None = None
  ) -> None:
    super().__init__(alphabet, settings)
    self._model = model
    self._points = piece_model.code_points(len(alphabet))
    self._load()

  @classmethod
  def train(
      cls,
      pairs: pl.DataFrame,
      sequences: Iterable[Sequence],
      *,
      vocab_size: int = 50_000,
      alphabet_size: int = 7_000,
      max_piece_events: int = 64,
      segmentation: str = "merges",
      settings: Settings | None = None,
  ) -> "BpeTokenizer":
    """Learns pieces from the training split.

    Args:
      pairs: columns event_id, design_id, train_count (see `Dataset`).
      sequences: of the training split.
      vocab_size: ids in all, at most; special ones included.
      alphabet_size: units at most, the most frequent ones; further pairs fall
        back to their event alone, or to UNK.
      max_piece_events: units of the longest piece.
      segmentation: "merges" applies the merges in their order, as BPE does;
        "fewest" cuts a text in as few pieces as possible.
      settings: of the tokenizer.

    Raises:
      UserError: if the sizes do not fit or there is nothing to learn from.
    """
    if alphabet_size < 2:
      raise UserError(f"alphabet_size is {alphabet_size}; 2 is the least.")
    if segmentation not in ("merges", "fewest"):
      raise UserError(
          f"segmentation {segmentation!r}; choose 'merges' or 'fewest'."
      )
    if not 2 <= max_piece_events <= MAX_PIECE_EVENTS:
      raise UserError(
          f"max_piece_events is {max_piece_events}; give 2 to"
          f" {MAX_PIECE_EVENTS}."
      )
    settings = settings or Settings()
    alphabet = Alphabet.choose(pairs, alphabet_size)
    least = schema.NUM_SPECIAL + len(alphabet) + 1
    if vocab_size < least:
      raise UserError(
          f"vocab_size {vocab_size:,} leaves no room for merges: the"
          f" {len(alphabet):,} units and the special tokens take {least - 1:,}."
          " Raise it, or lower alphabet_size."
      )
    points = piece_model.code_points(len(alphabet))
    model = piece_model.train(
        _training_lines(sequences, alphabet.table(pairs), points, settings),
        piece_model.to_text(np.arange(len(alphabet)), points),
        vocab_size=vocab_size,
        max_piece_units=max_piece_events,
    )
    if segmentation == "fewest":
      model = piece_model.fewest_pieces(model)
    return cls(alphabet, model, settings)

  @property
  def vocab_size(self) -> int:
    return len(self._first) - 1

  @property
  def one_token_an_event(self) -> bool:
    return False

  def segment(
      self, units: np.ndarray, starts: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    lines = _lines(units, starts, self._points)
    found = itertools.chain.from_iterable(self._processor.encode(lines))
    ids = np.fromiter(found, np.int32)
    spans = self._spans[ids]
    if spans.sum() != len(units):
      raise RuntimeError(
          f"{len(units)} units became pieces of {spans.sum()}: SentencePiece"
          " did not encode what it was given"
      )
    return ids, spans

  def token_units(self, token: int) -> tuple[int, ...]:
    first, after = self._first[token], self._first[token + 1]
    return tuple(self._flat[first:after].tolist())

  @property
  def spans(self) -> np.ndarray:
    """[vocab_size] int32: units of each token; 1 for UNK, 0 for others."""
    return self._spans

  def content(self) -> dict[str, Any]:
    digest = hashlib.sha256(self._model).hexdigest()
    return super().content() | {"model_sha256": digest}

  def save(self, folder: str | Path) -> None:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODEL_FILE).write_bytes(self._model)
    super().save(folder)

  @classmethod
  def from_json(cls, content: dict[str, Any], path: Path) -> "BpeTokenizer":
    """Checks the content of `tokenizer.json` and the model beside it."""
    alphabet = Alphabet.from_json(content, str(path))
    settings = Settings.from_json(content.get("settings", {}), str(path))
    file = path.with_name(MODEL_FILE)
    try:
      model = file.read_bytes()
    except OSError as error:
      raise UserError(
          f"{file}: cannot be read ({error.strerror}); a BPE tokenizer is"
          f" {path.name} and {MODEL_FILE} together."
      ) from error
    if hashlib.sha256(model).hexdigest() != content.get("model_sha256"):
      raise UserError(
          f"{file}: is not the model that {path.name} was saved with; restore"
          " it, or build the tokenizer again."
      )
    return cls(alphabet, model, settings)

  def __getstate__(self) -> dict[str, Any]:
    # The rest is derived; SentencePiece's processor has no safe copy.
    return {
        "alphabet": self.alphabet,
        "settings": self.settings,
        "_model": self._model,
        "_points": self._points,
    }

  def __setstate__(self, state: dict[str, Any]) -> None:
    self.__dict__.update(state)
    self._load()

  def _load(self) -> None:
    """Reads the units of each piece out of the model."""
    self._processor = piece_model.load(self._model, MODEL_FILE)
    characters = map(chr, self._points[:-1].tolist())
    units = {character: unit for unit, character in enumerate(characters)}
    size = self._processor.get_piece_size()
    pieces = [self._processor.id_to_piece(token) for token in range(size)]
    pieces[: schema.NUM_SPECIAL] = [""] * schema.NUM_SPECIAL
    spans = np.fromiter(map(len, pieces), np.int32, size)
    spans[schema.UNK_ID] = 1
    try:
      flat = [units[character] for piece in pieces for character in piece]
    except KeyError as error:
      raise UserError(
          f"the BPE model holds the character {error}, which is no unit of its"
          " alphabet."
      ) from None
    lost = len(units.keys() - set(pieces))
    if lost:
      # They would be read as UNK, and neighbours of them as one.
      raise UserError(
          f"the BPE model has no piece for {lost} of the {len(units)} units of"
          " its alphabet; build the tokenizer again."
      )
    self._first = np.concatenate([[0], np.cumsum(spans)])
    # Specials come first, so the one unit of UNK precedes all others.
    self._flat = np.asarray([-1, *flat], np.int32)
    self._spans = spans


def _lines(
    units: np.ndarray, starts: np.ndarray, points: np.ndarray
) -> list[str]:
  """One text a session; an unknown event is a line of its own."""
  unknown = units < 0
  begins = starts | unknown
  begins[1:] |= unknown[:-1]
  if not len(units):
    return []
  text = piece_model.to_text(units, points)
  first = np.flatnonzero(begins).tolist()
  return [
      text[begin:end]
      for begin, end in zip(first, [*first[1:], len(text)], strict=True)
  ]


def _training_lines(
    sequences: Iterable[Sequence],
    unit_of_pair: np.ndarray,
    points: np.ndarray,
    settings: Settings,
) -> Iterator[str]:
  unknown = chr(points[-1])
  for pair, timestamps in sequences:
    units = unit_of_pair[pair]
    starts = settings.sessions.starts(timestamps)
    if settings.collapse_repeats:
      kept = run_starts(units, starts)
      units, starts = units[kept], starts[kept]
    for line in _lines(units, starts, points):
      if line != unknown:
        yield line
