"""Sessions, the "sentences" of a history: stretches without a long gap.

What is long is said by a rule: a fixed time, a quantile of the sequence's own
gaps, or a threshold learned from the gaps of many users.
"""

from collections.abc import Mapping
import dataclasses
import math
from typing import Any, Literal

import numpy as np

from behavior_lm.common.errors import UserError

SessionKind = Literal["none", "fixed", "user_quantile", "learned"]
_KINDS = ("none", "fixed", "user_quantile", "learned")
_SECOND = 1_000_000
# Longer than any gap: a sequence with this threshold is one session.
NEVER = int(np.iinfo(np.int64).max)


def session_starts(timestamps: np.ndarray, threshold: int) -> np.ndarray:
  """Marks the first event of each session.

  Args:
    timestamps: [n] int64 microseconds, ascending.
    threshold: microseconds; a session ends at a gap LONGER than this.

  Returns:
    [n] bool, True at 0.

  Raises:
    UserError: if the times go backwards or `threshold` is negative.
  """
  if threshold < 0:
    raise UserError(f"session threshold {threshold} us is negative.")
  starts = np.ones(len(timestamps), bool)
  gaps = _gaps(timestamps)
  np.greater(gaps, threshold, out=starts[1:])
  return starts


def session_ids(starts: np.ndarray) -> np.ndarray:
  """[n] bool, True at 0 -> [n] int32, the session of each event from 0."""
  return np.cumsum(starts, dtype=np.int32) - np.int32(1)


def user_quantile_threshold(gaps: np.ndarray, quantile: float) -> int:
  """The threshold that a share of one user's gaps does not exceed.

  Ties (gaps of 0) do not count: they say how many rows a log writes for one
  action, not how long the user pauses. A user whose events all tie has no
  pause and gets `NEVER`.

  Args:
    gaps: [n] int64 microseconds, of one user.
    quantile: above 0, below 1; at most 1 - quantile of the gaps above 0 are
      longer than the result, which is one of the gaps.

  Returns:
    Microseconds.

  Raises:
    UserError: if `quantile` is out of range.
  """
  if not 0 < quantile < 1:
    raise UserError(f"session quantile {quantile} must lie between 0 and 1.")
  positive = gaps[gaps > 0]
  if not len(positive):
    return NEVER
  return int(np.quantile(positive, quantile, method="higher"))


@dataclasses.dataclass(frozen=True)
class SessionRule:
  """How a sequence is split in sessions.

  Attributes:
    kind: "none" (one session a sequence), "fixed" and "learned" (gaps over
      `seconds`), "user_quantile" (gaps over that quantile of the sequence's
      gaps above 0). The last one looks at the whole sequence, later events
      too: a model that predicts the future must not use it.
    seconds: threshold of "fixed" and "learned".
    quantile: of "user_quantile".
  """

  kind: SessionKind = "none"
  seconds: float | None = None
  quantile: float | None = None

  def __post_init__(self) -> None:
    if self.kind not in _KINDS:
      raise UserError(
          f"session rule {self.kind!r}; choose one of {', '.join(_KINDS)}."
      )
    timed = self.kind in ("fixed", "learned")
    if timed != (self.seconds is not None):
      raise UserError(
          f"session rule {self.kind!r}"
          + (" needs `seconds`." if timed else " takes no `seconds`.")
      )
    if self.seconds is not None and not 0 < self.seconds < math.inf:
      raise UserError(
          f"session threshold {self.seconds} s must be above 0 and finite."
      )
    by_user = self.kind == "user_quantile"
    if by_user != (self.quantile is not None):
      raise UserError(
          f"session rule {self.kind!r}"
          + (" needs `quantile`." if by_user else " takes no `quantile`.")
      )
    if self.quantile is not None and not 0 < self.quantile < 1:
      raise UserError(
          f"session quantile {self.quantile} must lie between 0 and 1."
      )

  @property
  def looks_ahead(self) -> bool:
    """Whether later events move earlier boundaries."""
    return self.kind == "user_quantile"

  def threshold(self, timestamps: np.ndarray) -> int:
    """Microseconds for this sequence, `NEVER` for one session."""
    if self.seconds is not None:
      return round(self.seconds * _SECOND)
    if self.quantile is not None:
      return user_quantile_threshold(_gaps(timestamps), self.quantile)
    return NEVER

  def starts(self, timestamps: np.ndarray) -> np.ndarray:
    """[n] int64 microseconds, ascending -> [n] bool, see session_starts."""
    return session_starts(timestamps, self.threshold(timestamps))

  def to_json(self) -> dict[str, Any]:
    """An object for a JSON file."""
    return dataclasses.asdict(self)

  @classmethod
  def from_json(cls, content: Mapping[str, Any]) -> "SessionRule":
    """Raises UserError if the object is no rule."""
    names = {field.name for field in dataclasses.fields(cls)}
    if not isinstance(content, Mapping) or set(content) - names:
      raise UserError(f"not a session rule: {str(content)[:200]}.")
    try:
      return cls(**content)
    except TypeError as error:
      raise UserError(
          f"not a session rule: {str(content)[:200]} ({error})."
      ) from error


def _gaps(timestamps: np.ndarray) -> np.ndarray:
  gaps = np.diff(timestamps)
  if len(gaps) and gaps.min() < 0:
    row = int(np.argmax(gaps < 0)) + 1
    raise UserError(
        f"timestamps go backwards at position {row}; sort each sequence by time"
        " first."
    )
  return gaps
