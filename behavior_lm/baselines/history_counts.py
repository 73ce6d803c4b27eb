"""Sparse counts of events and n-grams in histories, one row per history."""

from collections.abc import Iterable
import dataclasses

import numpy as np
from scipy import sparse

from behavior_lm.baselines import aggregates
from behavior_lm.baselines.aggregates import SECOND


@dataclasses.dataclass(frozen=True)
class HistoryFeatures:
  """Features of histories, one row each.

  Attributes:
    num_events: [rows] int64.
    first, last: [rows] int64 microseconds UTC of the first and last event; 0
      without events. For checks alone: a date is no feature.
    counts: [rows, events] float32 CSR, occurrences of each event.
    bigrams: [rows, distinct pairs of neighbours] float32 CSR.
    first_seen: [rows, events] float32 CSR: 1 + log1p(seconds from the first
      event of the history to the first one of this kind); 0 is never.
    aggregates: [rows, len(aggregates.NAMES)] float32.
    hours: [rows, 24] float32, see `aggregates.hours`.
    extras: [rows, 3 per numeric column] float32: mean, maximum and last value.
    extra_names: of these columns.
  """

  num_events: np.ndarray
  first: np.ndarray
  last: np.ndarray
  counts: sparse.csr_array
  bigrams: sparse.csr_array
  first_seen: sparse.csr_array
  aggregates: np.ndarray
  hours: np.ndarray
  extras: np.ndarray
  extra_names: tuple[str, ...] = ()


class Builder:
  """Adds histories one by one; memory holds their counts, not their events.

  Args:
    num_events: how many kinds of events there are.
    extras: names of numeric columns of the log.
  """

  def __init__(self, num_events: int, extras: Iterable[str] = ()) -> None:
    self._num = num_events
    self._extras = tuple(extras)
    self._parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {
        "counts": [], "bigrams": [], "first_seen": [],
    }  # fmt: skip
    self._rows: dict[str, list[np.ndarray]] = {
        "aggregates": [], "hours": [], "extras": [],
    }  # fmt: skip
    self._spans: list[tuple[int, int, int]] = []

  def add(
      self,
      events: np.ndarray,
      times: np.ndarray,
      end: int,
      extras: dict[str, np.ndarray] | None = None,
  ) -> None:
    """Adds a history.

    Args:
      events: [n] int codes below `num_events`.
      times: [n] int64 microseconds UTC, ascending.
      end: the time that its days are counted back from.
      extras: {name: [n]} of the numeric columns.
    """
    events = np.asarray(events, np.int64)
    seen, first, counts = np.unique(
        events, return_index=True, return_counts=True
    )
    passed = (times[first] - times[0]) / SECOND if len(events) else first
    self._parts["counts"].append((seen, counts))
    self._parts["first_seen"].append((seen, 1 + np.log1p(passed)))
    self._parts["bigrams"].append(
        np.unique(events[:-1] * self._num + events[1:], return_counts=True)
    )
    self._rows["aggregates"].append(aggregates.aggregates(events, times, end))
    self._rows["hours"].append(aggregates.hours(times))
    self._rows["extras"].append(_extra_values(self._extras, extras or {}))
    span = (int(times[0]), int(times[-1])) if len(events) else (0, 0)
    self._spans.append((len(events), *span))

  def build(self) -> HistoryFeatures:
    """Everything that was added.

    Raises:
      ValueError: if nothing was.
    """
    if not self._spans:
      raise ValueError("no history was added")
    spans = np.array(self._spans, np.int64)
    return HistoryFeatures(
        num_events=spans[:, 0],
        first=spans[:, 1],
        last=spans[:, 2],
        counts=_matrix(self._parts["counts"], self._num),
        first_seen=_matrix(self._parts["first_seen"], self._num),
        bigrams=_matrix(_compact(self._parts["bigrams"])),
        aggregates=np.stack(self._rows["aggregates"]),
        hours=np.stack(self._rows["hours"]),
        extras=np.stack(self._rows["extras"]),
        extra_names=tuple(
            f"{name} {what}"
            for name in self._extras
            for what in ("mean", "maximum", "last")
        ),
    )


def _extra_values(
    names: Iterable[str], extras: dict[str, np.ndarray]
) -> np.ndarray:
  values: list[float] = []
  for name in names:
    known = np.asarray(extras.get(name, ()), np.float64)
    known = known[np.isfinite(known)]
    values += (
        [known.mean(), known.max(), known[-1]] if len(known) else [-1.0] * 3
    )
  return np.asarray(values, np.float32)


def _compact(
    parts: list[tuple[np.ndarray, np.ndarray]],
) -> list[tuple[np.ndarray, np.ndarray]]:
  """Renumbers the codes of all parts, so that columns are 0, 1, ..."""
  known = np.unique(np.concatenate([codes for codes, _ in parts]))
  return [(np.searchsorted(known, codes), values) for codes, values in parts]


def _matrix(
    parts: list[tuple[np.ndarray, np.ndarray]], num_columns: int = 0
) -> sparse.csr_array:
  columns = np.concatenate([codes for codes, _ in parts])
  starts = np.cumsum([0, *(len(codes) for codes, _ in parts)])
  size = num_columns or int(columns.max(initial=-1)) + 1
  return sparse.csr_array(
      (
          np.concatenate([values for _, values in parts]).astype(np.float32),
          columns.astype(np.int32),
          starts,
      ),
      shape=(len(parts), max(size, 1)),
  )


def frequent(
    matrix: sparse.csr_array, train: np.ndarray, max_columns: int
) -> np.ndarray:
  """The columns that most training rows hold, ascending.

  The rows under test choose nothing: a column that only they hold is out.
  """
  rows = np.bincount(
      matrix[train].indices, minlength=matrix.shape[1]
  )
  order = np.argsort(-rows, kind="stable")[:max_columns]
  return np.sort(order[rows[order] > 0])
