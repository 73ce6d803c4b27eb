"""Reads what people pass as events: ids, times, columns of any library."""

import datetime
from typing import Any

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema

FORMS = (
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


def microseconds(values: Any, name: str) -> np.ndarray:
  """Timestamps of one sequence -> [n] int64 microseconds since 1970, UTC.

  Args:
    values: datetimes (without a zone: UTC), np.datetime64, or integers that
      are microseconds UTC.
    name: of the sequence, for messages.

  Raises:
    UserError: for anything else, or integers that are plainly another unit.
  """
  times = values if isinstance(values, list | tuple) else array(values, name)
  if isinstance(times, np.ndarray) and times.dtype == object:
    times = times.tolist()
  if isinstance(times, list | tuple):
    for place, moment in enumerate(times):
      if missing(moment):
        raise UserError(f"{name}: event {place} has no timestamp ({moment}).")
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
  # Not the first alone: a table may begin with a 0 that means nothing.
  middle = int(np.median(times[times != 0])) if times.any() else 0
  for unit, low, high, remedy in _OTHER_UNITS:
    if low <= middle < high:
      raise UserError(
          f"{name}: integer timestamps are microseconds UTC, but {middle}"
          f" seems to be {unit}; {remedy}."
      )
  return times.astype(np.int64)


def _of_datetime(moment: datetime.datetime) -> int:
  if moment.tzinfo is None:
    moment = moment.replace(tzinfo=_UTC)
  return (moment - _EPOCH) // _MICROSECOND


def missing(value: Any) -> bool:
  """Whether a value says that there is none: None, NaN, and pandas' NaT, NA."""
  if value is None or type(value).__name__ == "NAType":
    return True
  # Only NaN and NaT differ from themselves.
  return isinstance(value, float | datetime.datetime) and bool(value != value)


def column(values: Any, field: str, name: str) -> list[Any]:
  """A field of a sequence as a list."""
  if isinstance(values, list | tuple):
    return list(values)
  found = array(values, name)
  if found.ndim != 1:
    raise UserError(
        f"{name}: {field} has shape {found.shape}; give one for each event."
    )
  return found.tolist()


def array(values: Any, name: str) -> np.ndarray:
  """Arrays, and columns of Polars and pandas."""
  if not hasattr(values, "__array__"):
    raise UserError(
        f"{name}: holds a {type(values).__name__} where a list or an array"
        " belongs."
    )
  return np.asarray(values)


def ids_of_list(item: Any, name: str) -> tuple[list[Any], list[Any] | None]:
  """A list of ids, or of (event, design) pairs -> both columns."""
  if isinstance(item, str | bytes):
    raise UserError(
        f"{name}: is the text {item!r}, not a sequence. One sequence is given"
        " as [[...]]: a list that holds one list."
    )
  if isinstance(item, np.ndarray) and item.ndim == 2 and item.shape[1] == 2:
    return item[:, 0].tolist(), item[:, 1].tolist()
  try:
    elements = column(item, "it", name)
  except UserError:
    raise UserError(
        f"{name}: is a {type(item).__name__}; {FORMS}."
    ) from None
  if not any(isinstance(element, list | tuple) for element in elements):
    return elements, None
  for place, element in enumerate(elements):
    if not isinstance(element, list | tuple) or len(element) != 2:
      raise UserError(
          f"{name}: event {place} is {element!r}, others are pairs; {FORMS}."
      )
  return [pair[0] for pair in elements], [pair[1] for pair in elements]


def event_text(value: Any, place: int, name: str) -> str:
  """As experiments/prepare.py reads it: an event has an id."""
  text = _text(value, place, schema.EVENT_ID, name)
  if not text.strip():
    raise UserError(f"{name}: event {place} has an empty event id.")
  return text


def design_text(value: Any, place: int, name: str) -> str:
  """As experiments/prepare.py reads it: nothing means "no design"."""
  if missing(value) or value == "":
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
