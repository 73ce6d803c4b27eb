"""What people call a sequence -> tokens and time, checked, one at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import dataclasses
import datetime
from typing import Any

import numpy as np

from behavior_lm.data import schema
from behavior_lm.data.time_gaps import GapKind
from behavior_lm.data.time_gaps import HIDDEN_GAP
from behavior_lm.data.time_gaps import time_gaps
from behavior_lm.errors import UserError

TOKENS = "tokens"
_FIELDS = (TOKENS, schema.EVENT_ID, schema.DESIGN_ID, schema.TIMESTAMP)

_FORMS = (
    "a sequence is a dict of event_id, design_id (optional) and timestamp, or"
    " a list of event ids, or a list of (event id, design id) pairs"
)
# Counts from 1970 that no microseconds of a real log are.
_OTHER_UNITS = (
    ("seconds", 10**9, 10**10, "multiply them by 1,000,000"),
    ("milliseconds", 10**12, 10**13, "multiply them by 1,000"),
    ("nanoseconds", 10**18, 2**64, "divide them by 1,000"),
)
_UTC = datetime.UTC
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=_UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


@dataclasses.dataclass(frozen=True)
class TokenSequence:
  """One sequence as the model reads it, without CLS.

  Attributes:
    tokens: [num_events] int32.
    time_gaps: [num_events] int32 in 100 ms; -1 = hidden (no time known).
    seconds: [num_events] float64 since the first event; 0 without time.
  """

  tokens: np.ndarray
  time_gaps: np.ndarray
  seconds: np.ndarray

  def __len__(self) -> int:
    return len(self.tokens)


@dataclasses.dataclass(frozen=True)
class Reader:
  """Reads sequences for one model.

  Attributes:
    tokenizer: of the model.
    gap_kind: which gap the model was trained with.
  """

  tokenizer: Any
  gap_kind: GapKind

  def read_all(self, items: Iterable[Any]) -> Iterator[TokenSequence]:
    """Reads each item of an iterable, named by its place."""
    for place, item in enumerate(items):
      yield self.read(item, f"sequence {place}")

  def read(self, item: Any, name: str) -> TokenSequence:
    """Reads one sequence.

    Args:
      item: a mapping of `event_id` [n], `design_id` [n] (optional) and
        `timestamp` [n] (optional: without it all gaps are hidden); a mapping
        of `tokens` [n], already encoded, and `timestamp`; a list, tuple or
        array of event ids; or of (event id, design id) pairs.
      name: of the sequence, for messages.

    Raises:
      UserError: if it is empty, of another form, or not sorted by time.
    """
    if not isinstance(item, Mapping):
      tokens = self._tokens(*_ids_of_list(item, name), name)
      return self.from_tokens(tokens, None, name)
    unknown = [str(key) for key in item if key not in _FIELDS]
    if unknown:
      raise UserError(
          f"{name}: unknown field {unknown[0]!r}; {_FORMS}."
      )
    if TOKENS in item:
      if schema.EVENT_ID in item or schema.DESIGN_ID in item:
        raise UserError(f"{name}: give either tokens or event ids, not both.")
      tokens = self._check_tokens(item[TOKENS], name)
    elif schema.EVENT_ID in item:
      events = _column(item[schema.EVENT_ID], schema.EVENT_ID, name)
      designs = item.get(schema.DESIGN_ID)
      if designs is not None:
        designs = _column(designs, schema.DESIGN_ID, name)
      tokens = self._tokens(events, designs, name)
    else:
      raise UserError(f"{name}: has no event_id; {_FORMS}.")
    times = item.get(schema.TIMESTAMP)
    if times is not None:
      times = microseconds(times, name)
    return self.from_tokens(tokens, times, name)

  def from_tokens(
      self, tokens: np.ndarray, times: np.ndarray | None, name: str
  ) -> TokenSequence:
    """[n] int32 tokens and [n] int64 microseconds UTC (None: no time)."""
    if not len(tokens):
      raise UserError(
          f"{name}: has no events, so it has no vector. Leave it out."
      )
    if times is None:
      hidden = np.full(len(tokens), HIDDEN_GAP, np.int32)
      return TokenSequence(tokens, hidden, np.zeros(len(tokens)))
    if len(times) != len(tokens):
      raise UserError(
          f"{name}: {len(tokens)} events but {len(times)} timestamps; every"
          " event needs one."
      )
    try:
      gaps = time_gaps(times, self.gap_kind)
    except UserError as error:
      raise UserError(f"{name}: {error}") from error
    return TokenSequence(tokens, gaps, (times - times[0]) / 1e6)

  def _tokens(
      self, events: Sequence[Any], designs: Sequence[Any] | None, name: str
  ) -> np.ndarray:
    if designs is None:
      designs = [schema.NO_DESIGN] * len(events)
    elif len(designs) != len(events):
      raise UserError(
          f"{name}: {len(events)} event ids but {len(designs)} design ids;"
          f" every event needs one ({schema.NO_DESIGN!r} when it has none)."
      )
    return self.tokenizer.encode(
        [_event_text(e, i, name) for i, e in enumerate(events)],
        [_design_text(d, i, name) for i, d in enumerate(designs)],
    )

  def _check_tokens(self, values: Any, name: str) -> np.ndarray:
    tokens = np.asarray(values)
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


def microseconds(values: Any, name: str) -> np.ndarray:
  """Timestamps of one sequence -> [n] int64 microseconds since 1970, UTC.

  Args:
    values: datetimes (without a zone: UTC), np.datetime64, or integers that
      are microseconds UTC.
    name: of the sequence, for messages.

  Raises:
    UserError: for anything else, or integers that are plainly another unit.
  """
  times = values if isinstance(values, list | tuple) else _array(values, name)
  if isinstance(times, np.ndarray) and times.dtype == object:
    times = times.tolist()
  if isinstance(times, list | tuple):
    if times and all(isinstance(v, datetime.datetime) for v in times):
      return np.fromiter(map(_of_datetime, times), np.int64, len(times))
    times = np.asarray(times)
  if times.ndim != 1:
    raise UserError(
        f"{name}: timestamps have shape {times.shape}; give one for each event."
    )
  if not len(times):
    return np.zeros(0, np.int64)
  if times.dtype.kind == "M":
    if np.isnat(times).any():
      place = int(np.argmax(np.isnat(times)))
      raise UserError(f"{name}: event {place} has no timestamp (NaT).")
    return times.astype("datetime64[us]").astype(np.int64)
  if times.dtype.kind not in "iu":
    raise UserError(
        f"{name}: cannot read timestamps such as {times[0]!r}; give datetimes,"
        " np.datetime64, or integers in microseconds UTC, one kind for all."
    )
  first = int(times[0])
  for unit, low, high, remedy in _OTHER_UNITS:
    if low <= first < high:
      raise UserError(
          f"{name}: integer timestamps are microseconds UTC, but the first,"
          f" {first}, seems to be {unit}; {remedy}."
      )
  return times.astype(np.int64)


def _of_datetime(moment: datetime.datetime) -> int:
  if moment.tzinfo is None:
    moment = moment.replace(tzinfo=_UTC)
  return (moment - _EPOCH) // _MICROSECOND


def _column(values: Any, field: str, name: str) -> list[Any]:
  """A field of a sequence as a list."""
  if isinstance(values, list | tuple):
    return list(values)
  array = _array(values, name)
  if array.ndim != 1:
    raise UserError(
        f"{name}: {field} has shape {array.shape}; give one for each event."
    )
  return array.tolist()


def _array(values: Any, name: str) -> np.ndarray:
  """Arrays, and columns of Polars and pandas."""
  if not hasattr(values, "__array__"):
    raise UserError(
        f"{name}: holds a {type(values).__name__} where a list or an array"
        " belongs."
    )
  return np.asarray(values)


def _ids_of_list(item: Any, name: str) -> tuple[list[Any], list[Any] | None]:
  """A list of ids, or of (event, design) pairs -> both columns."""
  if isinstance(item, str | bytes):
    raise UserError(
        f"{name}: is the text {item!r}, not a sequence. One sequence is given"
        " as [[...]]: a list that holds one list."
    )
  if isinstance(item, np.ndarray) and item.ndim == 2 and item.shape[1] == 2:
    return item[:, 0].tolist(), item[:, 1].tolist()
  try:
    elements = _column(item, "it", name)
  except UserError:
    raise UserError(
        f"{name}: is a {type(item).__name__}; {_FORMS}."
    ) from None
  if not any(isinstance(element, list | tuple) for element in elements):
    return elements, None
  for place, element in enumerate(elements):
    if not isinstance(element, list | tuple) or len(element) != 2:
      raise UserError(
          f"{name}: event {place} is {element!r}, others are pairs; {_FORMS}."
      )
  return [pair[0] for pair in elements], [pair[1] for pair in elements]


def _event_text(value: Any, place: int, name: str) -> str:
  text = _text(value, place, schema.EVENT_ID, name)
  if not text.strip():
    raise UserError(f"{name}: event {place} has an empty event id.")
  return text


def _design_text(value: Any, place: int, name: str) -> str:
  """As experiments/prepare.py reads it: nothing means "no design"."""
  if value is None or value == "":
    return schema.NO_DESIGN
  return _text(value, place, schema.DESIGN_ID, name)


def _text(value: Any, place: int, field: str, name: str) -> str:
  if isinstance(value, str):
    return value
  if isinstance(value, int | np.integer) and not isinstance(value, bool):
    return str(value)
  raise UserError(
      f"{name}: event {place} has the {field} {value!r}; ids are texts (whole"
      " numbers are taken as texts)."
  )
