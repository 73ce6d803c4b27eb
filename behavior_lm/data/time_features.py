"""What the times of a sequence say about each event, and about each token.

Features of events are arrays [num_events]; `to_tokens` brings them to the
tokens of any tokenizer in one pass, so that a pair token (one event) and a BPE
piece (several) mean the same by a name:

  name              unit                 an event         a token of several
  gap_previous      100 ms, int32        since the last   sum
  gap_next          100 ms, int32        to the next      sum
  hour              0 to 23, int32       in the zone      of its first event
  weekday           0 = Monday, int32    in the zone      of its first event
  weekend           1 on Saturdays and   in the zone      of its first event
                    Sundays, int32
  account_age       days, float32        since the first  of its first event,
                    in whole hours: differences of finer
                    ages would be the gaps that a mask hides
  num_events        int32                1                sum: chains, repeats
  numeric columns   float32, NaN = none  as given         mean of those known
  categories        int32, -1 = none     as given         of its first event
"""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data.time_gaps import GapKind
from behavior_lm.data.time_gaps import HIDDEN_GAP
from behavior_lm.data.time_gaps import MAX_GAP
from behavior_lm.data.time_gaps import time_gaps
from behavior_lm.logs.readers import timestamps as stamps

Features = dict[str, np.ndarray]

GAPS: dict[str, GapKind] = {"gap_previous": "previous", "gap_next": "next"}
CALENDAR = ("hour", "weekday", "weekend")
ACCOUNT_AGE = "account_age"
NUM_EVENTS = "num_events"
NAMES = (*GAPS, *CALENDAR, ACCOUNT_AGE, NUM_EVENTS)
# Fields that every sequence has; a model may read them as features, too.
OF_SEQUENCE = ("times", "sessions")
# Where an event stands in its segment; two-tower models alone have them.
OF_SPAN = ("from_start", "to_end")
# They tell a model of the future when the answer comes.
LOOK_AHEAD = ("gap_next",)
# What a token without events (CLS, SEP) reads; floats read NaN.
NO_EVENT = -1

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_THURSDAY = 3  # 1970-01-01
_SATURDAY = 5


def check_names(names: Sequence[str], extras: Sequence[str] = ()) -> None:
  """Raises UserError for a name that is unknown or doubled.

  Args:
    names: features that a model is to read.
    extras: the dataset's extra columns.
  """
  known = [*NAMES, *OF_SEQUENCE, *extras]
  for place, name in enumerate(names):
    if name not in known:
      raise UserError(
          f"time feature {name!r} is unknown; choose from {', '.join(known)}."
      )
    if name in names[:place]:
      raise UserError(f"time feature {name!r} is named twice.")


def event_features(
    timestamps: np.ndarray,
    names: Sequence[str] = NAMES,
    *,
    zone: str = "UTC",
    first_event: int | None = None,
    extras: Mapping[str, np.ndarray] | None = None,
) -> Features:
  """Features of the events of a sequence.

  Args:
    timestamps: [n] int64 microseconds UTC, ascending.
    names: which; those of `extras` are always there.
    zone: IANA name of the time zone whose clock and calendar count.
    first_event: microseconds UTC of the user's first event EVER, needed by
      account_age. A sequence does not know it: it may be a later day's.
    extras: [n] each, extra columns of the log: floats are numbers, integers
      categories.

  Returns:
    {name: [n]}, see the head of this file.

  Raises:
    UserError: if a name or the zone is unknown, the times go backwards, an
      event lies before `first_event`, or account_age lacks it.
  """
  extras = extras or {}
  check_names([name for name in names if name not in extras])
  out: Features = {}
  for name, kind in GAPS.items():
    if name in names:
      out[name] = time_gaps(timestamps, kind)
  if any(name in names for name in CALENDAR):
    hour, weekday = calendar(timestamps, zone)
    weekend = (weekday >= _SATURDAY).astype(np.int32)
    out |= {"hour": hour, "weekday": weekday, "weekend": weekend}
  if ACCOUNT_AGE in names:
    out[ACCOUNT_AGE] = _account_age(timestamps, first_event)
  if NUM_EVENTS in names:
    out[NUM_EVENTS] = np.ones(len(timestamps), np.int32)
  out = {name: out[name] for name in names if name in out}
  for name, values in extras.items():
    if len(values) != len(timestamps):
      raise UserError(
          f"extra column {name!r} has {len(values)} values for"
          f" {len(timestamps)} events: the dataset is damaged, prepare it"
          " again."
      )
    out[name] = np.asarray(values)
  return out


def calendar(
    timestamps: np.ndarray, zone: str
) -> tuple[np.ndarray, np.ndarray]:
  """Hour and weekday on the clock of a zone, summer time included.

  Right up to the year 2099: the rules of summer time that polars knows end
  there.

  Args:
    timestamps: [n] int64 microseconds UTC.
    zone: IANA name.

  Returns:
    [n] int32 hour, 0 to 23, and [n] int32 weekday, 0 is Monday.
  """
  if zone == "UTC":
    hour = timestamps // _HOUR_US % 24
    weekday = (timestamps // _DAY_US + _THURSDAY) % 7
    return hour.astype(np.int32), weekday.astype(np.int32)
  stamps.check_timezone(zone)
  utc = pl.Series(timestamps, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
  local = utc.dt.convert_time_zone(zone)
  hour = local.dt.hour().to_numpy().astype(np.int32)
  weekday = local.dt.weekday().to_numpy().astype(np.int32) - np.int32(1)
  return hour, weekday


def to_tokens(
    features: Mapping[str, np.ndarray], num_events: np.ndarray
) -> Features:
  """Features of events -> of tokens that span several of them, in O(n).

  Args:
    features: {name: [n]}, as `event_features` gives them, or cut from it. A
      name that is not in NAMES is an extra column.
    num_events: [num_tokens] events that each token spans, in order, n in all.
      Tokens of 0 events (CLS, SEP) read -1, the hidden gap, or NaN.

  Returns:
    {name: [num_tokens]}, of the same types.

  Raises:
    UserError: if the tokens do not span the events.
  """
  num_events = np.asarray(num_events, np.int64)
  lengths = {name: len(values) for name, values in features.items()}
  total = int(num_events.sum())
  if (num_events < 0).any() or any(n != total for n in lengths.values()):
    raise UserError(
        f"{len(num_events)} tokens span {total} events, the features have"
        f" {lengths}: encode the sequence again."
    )
  filled = num_events > 0
  ends = np.cumsum(num_events)
  first = (ends - num_events)[filled]
  out = {}
  for name, values in features.items():
    if name in GAPS:
      known = values >= 0
      sums = _sums(np.where(known, values, 0).astype(np.int64), first)
      some = _sums(known.astype(np.int64), first) > 0
      reduced = np.where(some, np.minimum(sums, MAX_GAP), HIDDEN_GAP)
      out[name] = _spread(reduced.astype(np.int32), filled, HIDDEN_GAP)
    elif name == NUM_EVENTS:
      sums = _sums(values, first).astype(np.int32)
      out[name] = _spread(sums, filled, 0)
    elif name in CALENDAR:
      out[name] = _spread(values[first], filled, NO_EVENT)
    elif name == ACCOUNT_AGE:
      out[name] = _spread(values[first], filled, np.nan)
    elif values.dtype.kind in "iu":  # A category: that of its first event.
      out[name] = _spread(values[first].astype(np.int32), filled, NO_EVENT)
    else:
      out[name] = _spread(_means(values, first), filled, np.nan)
  return out


def _account_age(timestamps: np.ndarray, first: int | None) -> np.ndarray:
  if first is None:
    raise UserError(
        f"time feature {ACCOUNT_AGE!r} needs the time of the user's first"
        " event."
    )
  age = (timestamps - first) // _HOUR_US / 24
  if len(age) and age[0] < 0:
    raise UserError(
        f"an event lies {-age[0]:.3g} days before the user's first event:"
        " take the first event over all splits."
    )
  return age.astype(np.float32)


def _sums(values: np.ndarray, first: np.ndarray) -> np.ndarray:
  if not len(first):  # reduceat takes no empty index.
    return np.zeros(0, values.dtype)
  return np.add.reduceat(values, first)


def _means(values: np.ndarray, first: np.ndarray) -> np.ndarray:
  known = ~np.isnan(values)
  sums = _sums(np.where(known, values, 0).astype(np.float64), first)
  counts = _sums(known.astype(np.int64), first)
  with np.errstate(invalid="ignore"):  # 0 / 0: none of them is known.
    return (sums / counts).astype(np.float32)


def _spread(
    values: np.ndarray, filled: np.ndarray, empty: float
) -> np.ndarray:
  """[filled] -> [tokens]: the others read `empty`."""
  out = np.full(len(filled), empty, values.dtype)
  out[filled] = values
  return out
