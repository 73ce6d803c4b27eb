"""Time between events, in units of 100 ms."""

from typing import Literal

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.logs import schema

GapKind = Literal["next", "previous"]
MAX_GAP = np.iinfo(np.int32).max
# What a model reads of a gap that it must not see, because it is asked for the
# event, or that nobody knows: the one at the open end of a sequence.
HIDDEN_GAP = -1


def time_gaps(timestamps: np.ndarray, kind: GapKind = "next") -> np.ndarray:
  """Gaps of one sequence.

  `next` is an event's duration: the time to the event after it, which the last
  one does not know. `previous` is the time since the event before it, which
  the first one does not know; a model that predicts the future must use this
  one, the other tells it when the answer comes.

  Args:
    timestamps: [n] int64 microseconds, ascending.
    kind: "next" or "previous".

  Returns:
    [n] int32 in units of 100 ms, off by less than one unit, at most
    2**31 - 1; HIDDEN_GAP where it is not known.

  Raises:
    UserError: if the times go backwards or `kind` is unknown.
  """
  if kind not in ("next", "previous"):
    raise UserError(f"gap kind {kind!r}; choose 'next' or 'previous'.")
  gaps = np.full(len(timestamps), HIDDEN_GAP, np.int64)
  if len(timestamps) > 1:
    backwards = timestamps[1:] < timestamps[:-1]
    if backwards.any():
      row = int(np.argmax(backwards)) + 1
      raise UserError(
          f"timestamps go backwards at position {row}; sort each sequence by"
          " time first."
      )
    # Differences of rounded times, not rounded differences: sums over the
    # events of a token are exact, also where gaps are shorter than a unit.
    between = np.diff(timestamps // schema.GAP_UNIT_US)
    if kind == "next":
      gaps[:-1] = between
    else:
      gaps[1:] = between
  return np.minimum(gaps, MAX_GAP).astype(np.int32)
