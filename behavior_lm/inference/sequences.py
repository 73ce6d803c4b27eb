"""What people call a sequence -> tokens and time, checked, one at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import dataclasses
import math
from typing import Any

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data import categories
from behavior_lm.data.categories import Vocabularies
from behavior_lm.data.reading import Reading
from behavior_lm.data.token_source import Fields
from behavior_lm.data.token_source import token_fields
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.data.tokenizers.base import Tokens
from behavior_lm.inference import values
from behavior_lm.inference.known_events import KnownEvents
from behavior_lm.logs import schema

TOKENS = "tokens"
# microseconds UTC, for a model that reads the account's age.
FIRST_EVENT = "first_event"
_FIELDS = (
    TOKENS,
    schema.EVENT_ID,
    schema.DESIGN_ID,
    schema.TIMESTAMP,
    FIRST_EVENT,
)


@dataclasses.dataclass(frozen=True)
class Reader:
  """Reads sequences for one model, as the fields of `data.token_source`.

  Attributes:
    tokenizer: of the model.
    reading: what the model reads beside its tokens.
    categories: codes of the values of categorical columns.
    known: counts what the model knows of the events that were read.
  """

  tokenizer: Tokenizer
  reading: Reading
  categories: Vocabularies = dataclasses.field(default_factory=dict)
  known: KnownEvents = dataclasses.field(
      default_factory=KnownEvents, compare=False, repr=False
  )

  @property
  def extras(self) -> tuple[str, ...]:
    """Columns of the log that the model reads."""
    return self.reading.extras

  def read_all(self, items: Iterable[Any]) -> Iterator[Fields]:
    """Reads each item of an iterable, named by its place."""
    for place, item in enumerate(items):
      yield self.read(item, f"sequence {place}")
    self.known.warn()

  def read(self, item: Any, name: str) -> Fields:
    """Reads one sequence.

    Args:
      item: a mapping of `event_id` [n], `design_id` [n] (optional) and
        `timestamp` [n] (optional: without it all gaps are hidden), with the
        extra columns [n] that the model reads, and `first_event` (when the
        user was first seen) if it reads the account's age; a mapping of
        `tokens` [n], already encoded, and `timestamp`; a list, tuple or array
        of event ids; or of (event id, design id) pairs.
      name: of the sequence, for messages.

    Raises:
      UserError: if it is empty, of another form, or not sorted by time.
    """
    if not isinstance(item, Mapping):
      units = self._units(*values.ids_of_list(item, name), name)
      return self.from_units(units, None, name)
    known = (*_FIELDS, *self.extras)
    unknown = [str(key) for key in item if key not in known]
    if unknown:
      raise UserError(
          f"{name}: unknown field {unknown[0]!r}; {values.FORMS}."
      )
    times = item.get(schema.TIMESTAMP)
    if times is not None:
      times = values.microseconds(times, name)
    if TOKENS in item:
      if schema.EVENT_ID in item or schema.DESIGN_ID in item:
        raise UserError(f"{name}: give either tokens or event ids, not both.")
      ids = self._check_tokens(item[TOKENS], name)
      return self._of_tokens(ids, times, name)
    if schema.EVENT_ID in item:
      events = values.column(item[schema.EVENT_ID], schema.EVENT_ID, name)
      designs = item.get(schema.DESIGN_ID)
      if designs is not None:
        designs = values.column(designs, schema.DESIGN_ID, name)
      first = item.get(FIRST_EVENT)
      return self.from_units(
          self._units(events, designs, name),
          times,
          name,
          extras=self._encode_extras(item, name),
          first_event=None
          if first is None
          else int(values.microseconds([first], name)[0]),
      )
    raise UserError(f"{name}: has no event_id; {values.FORMS}.")

  def from_units(
      self,
      units: np.ndarray,
      times: np.ndarray | None,
      name: str,
      *,
      extras: Mapping[str, Any] | None = None,
      first_event: int | None = None,
  ) -> Fields:
    """Makes a sequence of the tokenizer's units.

    Args:
      units: [n] int32.
      times: [n] int64 microseconds UTC; None: no time.
      name: of the sequence, for messages.
      extras: [n] each, the extra columns that the model reads: numbers, or
        codes of categories.
      first_event: of the user, microseconds UTC.
    """
    _check_lengths(units, times, name)
    self.known.add(units, len(self.tokenizer.alphabet.events))
    if self.reading.features:
      extras = self._check_features(times, extras or {}, len(units), name)
    try:
      tokens = self.tokenizer.tokenise(units, times)
      return token_fields(
          tokens,
          times,
          self.reading,
          extras=extras,
          first_event=first_event,
      )
    except UserError as error:
      raise UserError(f"{name}: {error}") from error

  def _of_tokens(
      self, ids: np.ndarray, times: np.ndarray | None, name: str
  ) -> Fields:
    """Tokens that were encoded elsewhere; each has a time of its own."""
    _check_lengths(ids, times, name)
    if features := self.reading.features:
      raise UserError(
          f"{name}: the model reads {', '.join(features)} too; give event ids"
          " instead of tokens."
      )
    one = np.ones(len(ids), np.int32)
    try:
      return token_fields(Tokens(ids, one, one - 1), times, self.reading)
    except UserError as error:
      raise UserError(f"{name}: {error}") from error

  def _check_features(
      self,
      times: np.ndarray | None,
      extras: Mapping[str, Any],
      size: int,
      name: str,
  ) -> dict[str, np.ndarray]:
    missing = [key for key in self.extras if key not in extras]
    if times is None:
      missing.insert(0, schema.TIMESTAMP)
    if missing:
      raise UserError(
          f"{name}: has no {missing[0]}, which the model reads (its features:"
          f" {', '.join(self.reading.features)})."
      )
    for key in self.extras:
      if np.shape(extras[key]) != (size,):
        raise UserError(
            f"{name}: {size} events but {key} has shape"
            f" {np.shape(extras[key])}."
        )
    return {key: extras[key] for key in self.extras}

  def _encode_extras(
      self, item: Mapping[str, Any], name: str
  ) -> dict[str, np.ndarray]:
    """The extra columns of an item that are there, as numbers and codes."""
    found = {}
    for key in self.extras:
      if key not in item:
        continue
      column = item[key]
      if key in self.categories:
        found[key] = categories.encode(list(column), self.categories[key])
        continue
      try:
        # Lists say None, Polars null, where a number is missing.
        numbers = np.asarray(column)
        if numbers.dtype == object:
          numbers = np.asarray([math.nan if v is None else v for v in numbers])
        found[key] = numbers.astype(np.float64)
      except (TypeError, ValueError) as error:
        raise UserError(
            f"{name}: {key} is not a list of numbers ({error})."
        ) from error
    return found

  def _units(
      self, events: Sequence[Any], designs: Sequence[Any] | None, name: str
  ) -> np.ndarray:
    if designs is None:
      designs = [schema.NO_DESIGN] * len(events)
    elif len(designs) != len(events):
      raise UserError(
          f"{name}: {len(events)} event ids but {len(designs)} design ids;"
          f" every event needs one ({schema.NO_DESIGN!r} when it has none)."
      )
    return self.tokenizer.alphabet.units(
        [values.event_text(e, i, name) for i, e in enumerate(events)],
        [values.design_text(d, i, name) for i, d in enumerate(designs)],
    )

  def _check_tokens(self, given: Any, name: str) -> np.ndarray:
    tokens = np.asarray(given)
    if tokens.ndim != 1 or (len(tokens) and tokens.dtype.kind not in "iu"):
      raise UserError(
          f"{name}: tokens must be a list of whole numbers, not an array of"
          f" {tokens.dtype} of shape {tokens.shape}."
      )
    size = self.tokenizer.vocab_size
    if len(tokens) and not 0 <= tokens.min() <= tokens.max() < size:
      raise UserError(
          f"{name}: token ids lie between {tokens.min()} and {tokens.max()},"
          f" the model's vocabulary between 0 and {size - 1}. Encode with the"
          " tokenizer of its run folder."
      )
    return tokens.astype(np.int32)


def _check_lengths(
    events: np.ndarray, times: np.ndarray | None, name: str
) -> None:
  if not len(events):
    raise UserError(
        f"{name}: has no events, so it has no vector. Leave it out."
    )
  if times is not None and len(times) != len(events):
    raise UserError(
        f"{name}: {len(events)} events but {len(times)} timestamps; every"
        " event needs one."
    )
