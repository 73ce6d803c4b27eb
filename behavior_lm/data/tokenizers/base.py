"""What all tokenizers share: events -> units -> sessions -> tokens, and back.

Everything that decides an encoding lies in the tokenizer, so one folder with
one fingerprint says what a model has read.
"""

import abc
from collections.abc import Mapping, Sequence
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.common.files import write_whole
from behavior_lm.data.sessions import session_ids
from behavior_lm.data.sessions import SessionRule
from behavior_lm.data.tokenizers.alphabet import Alphabet
from behavior_lm.logs import schema

FILE_NAME = "tokenizer.json"
EventIds = tuple[str | None, str | None]


@dataclasses.dataclass(frozen=True)
class Settings:
  """What happens around the units, in every kind of tokenizer.

  Attributes:
    sessions: how a sequence is split; no token crosses a session boundary.
    sep_tokens: close each session with a SEP token, which spans no event.
    collapse_repeats: read a run of equal units inside a session as one unit;
      `num_events` keeps the count. Unknown events are never collapsed.
    run_lengths: how often a run in the training split was 1, 2, ... long (the
      last: or longer); what a collapsed run does not tell is charged by it.
  """

  sessions: SessionRule = SessionRule()
  sep_tokens: bool = False
  collapse_repeats: bool = False
  run_lengths: tuple[int, ...] = ()

  def to_json(self) -> dict[str, Any]:
    return {
        "sessions": self.sessions.to_json(),
        "sep_tokens": self.sep_tokens,
        "collapse_repeats": self.collapse_repeats,
        "run_lengths": list(self.run_lengths),
    }

  @classmethod
  def from_json(cls, content: Mapping[str, Any], where: str) -> "Settings":
    """Raises UserError if `content`, read from `where`, is not complete."""
    try:
      return cls(
          sessions=SessionRule.from_json(content["sessions"]),
          sep_tokens=bool(content["sep_tokens"]),
          collapse_repeats=bool(content["collapse_repeats"]),
          run_lengths=tuple(int(n) for n in content["run_lengths"]),
      )
    except (KeyError, TypeError, ValueError) as error:
      raise UserError(f"{where}: 'settings' is damaged ({error}).") from error


@dataclasses.dataclass(frozen=True)
class Tokens:
  """Tokens of one sequence, all arrays [num_tokens] int32.

  Attributes:
    ids: token ids.
    num_events: raw events that each token spans; 0 for SEP. They follow each
      other without a hole: their sum is the length of the sequence.
    sessions: index of the token's session, from 0.
  """

  ids: np.ndarray
  num_events: np.ndarray
  sessions: np.ndarray

  def __len__(self) -> int:
    return len(self.ids)

  @property
  def first_events(self) -> np.ndarray:
    """[num_tokens] place of each first event; of SEP: its session's last."""
    first = np.cumsum(self.num_events) - self.num_events
    return first - (self.num_events == 0)


@dataclasses.dataclass(frozen=True)
class Encoding:
  """Tokens, and what they leave out: together they are the events.

  Attributes:
    tokens: what a model reads.
    repeats: [num_units] int32, the length of each run, or None where repeats
      are not collapsed.
    hidden: {place of an event: its (event, design)} where the token does not
      tell both.
  """

  tokens: Tokens
  repeats: np.ndarray | None
  hidden: dict[int, tuple[str, str]]


class Tokenizer(abc.ABC):
  """Base of the tokenizers; a kind says how units become tokens.

  Args:
    alphabet: the units.
    settings: what happens around them.
  """

  kind: ClassVar[str]

  def __init__(
      self, alphabet: Alphabet, settings: Settings | None = None
  ) -> None:
    self.alphabet = alphabet
    self.settings = settings or Settings()

  # What a kind defines.

  @property
  @abc.abstractmethod
  def vocab_size(self) -> int:
    """Token ids, special ones included."""

  @property
  @abc.abstractmethod
  def one_token_an_event(self) -> bool:
    """Whether a sequence has as many tokens as events, whatever they are."""

  @abc.abstractmethod
  def segment(
      self, units: np.ndarray, starts: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Units -> tokens that do not cross a start.

    Args:
      units: [n] int32, -1 = unknown.
      starts: [n] bool, True at 0.

    Returns:
      [m] int32 token ids, and [m] int32 units that each spans.
    """

  @abc.abstractmethod
  def token_units(self, token: int) -> tuple[int, ...]:
    """Units of one token, -1 = unknown; () of other special tokens."""

  def content(self) -> dict[str, Any]:
    """What decides an encoding, for `tokenizer.json` and the fingerprint."""
    return {
        "kind": self.kind,
        "specials": list(schema.SPECIAL_TOKENS),
        **self.alphabet.to_json(),
        "settings": self.settings.to_json(),
    }

  @classmethod
  @abc.abstractmethod
  def from_json(cls, content: dict[str, Any], path: Path) -> "Tokenizer":
    """Checks the content of `tokenizer.json`, read from `path`."""

  # What follows from it.

  @property
  def tokens(self) -> list[str]:
    """Readable names, one for each id."""
    names = list(schema.SPECIAL_TOKENS)
    for token in range(schema.NUM_SPECIAL, self.vocab_size):
      names.append(" ".join(map(self.alphabet.name, self.token_units(token))))
    return names

  def unit_table(self, pairs: pl.DataFrame) -> np.ndarray:
    """Pair codes of a dataset -> units, [num_pairs] int32, -1 = unknown."""
    return self.alphabet.table(pairs)

  def tokenise(
      self, units: np.ndarray, timestamps: np.ndarray | None = None
  ) -> Tokens:
    """Units of one sequence -> tokens.

    Args:
      units: [n] int32 of `unit_table` or `alphabet.units`.
      timestamps: [n] int64 microseconds, ascending; None for no time, which
        makes one session.
    """
    return self._tokenise(units, timestamps)[0]

  def encode(
      self,
      event_ids: Sequence[str],
      design_ids: Sequence[str],
      timestamps: np.ndarray | None = None,
  ) -> Encoding:
    """Events of one sequence -> tokens and what they leave out; lossless.

    Args:
      event_ids, design_ids: [n].
      timestamps: [n] int64 microseconds, ascending; see `tokenise`.
    """
    units = self.alphabet.units(event_ids, design_ids)
    tokens, repeats = self._tokenise(units, timestamps)
    untold = np.flatnonzero(units < len(self.alphabet.events)).tolist()
    hidden = {at: (event_ids[at], design_ids[at]) for at in untold}
    return Encoding(tokens, repeats, hidden)

  def decode(
      self, encoding: Encoding | Sequence[int] | np.ndarray
  ) -> list[EventIds]:
    """Tokens -> (event, design), one an event.

    Args:
      encoding: of `encode`, which comes back exactly; or bare token ids,
        where None stands for what a token left out.

    Raises:
      UserError: if an id is outside of the vocabulary.
    """
    if not isinstance(encoding, Encoding):
      return [self.alphabet.ids(unit) for unit in self._units_of(encoding)]
    units = self._units_of(encoding.tokens.ids)
    if encoding.repeats is not None:
      units = np.repeat(units, encoding.repeats)
    events = [self.alphabet.ids(int(unit)) for unit in units]
    for place, ids in encoding.hidden.items():
      events[place] = ids
    return events

  def coverage(
      self, pairs: pl.DataFrame, counts: str = "train_count"
  ) -> dict[str, float]:
    """Shares of events by what became of them; see `Alphabet.coverage`."""
    return self.alphabet.coverage(pairs, counts)

  def hidden_bytes(self, pairs: pl.DataFrame) -> np.ndarray:
    """Bytes that a unit leaves out; see `Alphabet.hidden_bytes`."""
    return self.alphabet.hidden_bytes(pairs)

  def repeat_bits(
      self, units: np.ndarray, timestamps: np.ndarray
  ) -> np.ndarray:
    """Bits that say how long each collapsed run is, on its first event.

    Args:
      units, timestamps: [n], as `tokenise` takes them.

    Returns:
      [n] float64; 0 where nothing is collapsed.
    """
    out = np.zeros(len(units))
    if not self.settings.collapse_repeats or not len(units):
      return out
    starts = self.settings.sessions.starts(timestamps)
    first = np.flatnonzero(run_starts(units, starts))
    lengths = np.diff(first, append=len(units))
    out[first] = run_length_bits(self.settings.run_lengths, lengths)
    # One UNK is one event: nothing to tell.
    out[units < 0] = 0
    return out

  @property
  def fingerprint(self) -> str:
    """SHA-256 over everything that decides an encoding."""
    text = json.dumps(self.content(), ensure_ascii=True, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

  def save(self, folder: str | Path) -> None:
    """Writes the tokenizer folder; `tokenizer.json` comes last."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = self.content() | {"fingerprint": self.fingerprint}
    text = json.dumps(content, ensure_ascii=False, indent=0)
    write_whole(folder / FILE_NAME, text)

  def check_fingerprint(self, content: Mapping[str, Any], where: str) -> None:
    """Raises UserError unless `content` is what this tokenizer was read of."""
    if self.fingerprint != content.get("fingerprint"):
      raise UserError(
          f"{where}: the content does not match its fingerprint; the file was"
          " changed or damaged. Restore it, or build the tokenizer again."
      )

  def _units_of(self, ids: Sequence[int] | np.ndarray) -> np.ndarray:
    units: list[int] = []
    for token in np.asarray(ids).tolist():
      if not 0 <= token < self.vocab_size:
        raise UserError(
            f"token id {token} is outside of the vocabulary of"
            f" {self.vocab_size}."
        )
      units += self.token_units(token)
    return np.asarray(units, np.int32)

  def _tokenise(
      self, units: np.ndarray, timestamps: np.ndarray | None
  ) -> tuple[Tokens, np.ndarray | None]:
    if timestamps is None:
      starts = np.arange(len(units)) == 0
    elif len(timestamps) != len(units):
      raise UserError(f"{len(units)} events but {len(timestamps)} timestamps.")
    else:
      starts = self.settings.sessions.starts(timestamps)
    session = session_ids(starts)
    repeats = None
    if self.settings.collapse_repeats:
      first = np.flatnonzero(run_starts(units, starts))
      repeats = np.diff(first, append=len(units)).astype(np.int32)
      units, starts = units[first], starts[first]
    ids, spans = self.segment(units, starts)
    num_events = spans
    if repeats is not None and len(spans):
      num_events = np.add.reduceat(repeats, np.cumsum(spans) - spans)
      num_events = num_events.astype(np.int32)
    tokens = Tokens(
        ids, num_events, session[np.cumsum(num_events) - num_events]
    )
    if self.settings.sep_tokens:
      tokens = _close_sessions(tokens)
    return tokens, repeats


def run_starts(units: np.ndarray, starts: np.ndarray) -> np.ndarray:
  """Marks the first unit of each run of equal ones inside a session.

  Args:
    units: [n] int32; an unknown one (-1) is a run of its own.
    starts: [n] bool, the first events of sessions.
  """
  kept = starts | (units < 0)
  kept[1:] |= units[1:] != units[:-1]
  return kept


def run_length_bits(
    counts: Sequence[int], lengths: np.ndarray
) -> np.ndarray:
  """Ideal code lengths of run lengths, in bits.

  Args:
    counts: of runs of 1, 2, ... events, the last: or longer; one is added to
      each, so that nothing costs infinitely much.
    lengths: [n], at least 1.

  Returns:
    [n] float64. Runs over the last count add Elias' gamma code (1975) of how
    far they are over it.
  """
  padded = np.asarray([*counts] or [0], np.float64) + 1
  bits = -np.log2(padded / padded.sum())
  over = np.maximum(lengths - len(padded), -1)
  gamma = 2 * np.floor(np.log2(np.maximum(over + 1, 1))) + 1
  place = np.minimum(lengths, len(padded)) - 1
  return bits[place] + np.where(over >= 0, gamma, 0)


def _close_sessions(tokens: Tokens) -> Tokens:
  """Inserts SEP behind the last token of each session."""
  if not len(tokens):
    return tokens
  last = np.append(tokens.sessions[1:] != tokens.sessions[:-1], True)
  after = np.flatnonzero(last) + 1
  return Tokens(
      np.insert(tokens.ids, after, schema.SEP_ID),
      np.insert(tokens.num_events, after, 0),
      np.insert(tokens.sessions, after, tokens.sessions[last]),
  )
