"""Labelled rows joined to the history of their user before their time."""

from collections.abc import Iterator, Mapping, Sequence
import operator
from typing import Any, SupportsIndex

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import vocabulary
from behavior_lm.data.samples.history import History
from behavior_lm.data.samples.sample_columns import CANDIDATE
from behavior_lm.data.samples.sample_columns import ROW
from behavior_lm.data.samples.sample_columns import TIME
from behavior_lm.data.samples.sample_columns import WEIGHT
from behavior_lm.data.samples.table import SampleTable
from behavior_lm.data.samples.table import times_of
from behavior_lm.logs import schema


class Samples:
  """Random access to samples; picklable.

  A sample is a sequence as `TokenSource` reads them, so that
  `TokenSource(samples, tokenizer, ...)` gives the token sequences of the
  histories, with the row's own fields beside them.

  In the order of the table, rows of one user follow each other in time, and
  each sequence of the log is read once as long as the sequences of one user
  fit into the cache of the history.

  Args:
    table: labelled rows.
    history: of the dataset.
    rows: positions in the table, in the order of the samples; None takes all.
    vocabularies: as `vocabulary.fit` gives them; needed for classes and
      categories.
    max_events: how many of the last events a history keeps; None keeps all.
    excluded_events: event ids that are removed from histories. What happened
      at the row's time or later is never in a history.

  Attributes:
    rows: [samples] int64 positions in the table.
    num_unseen: {column: samples with a value that its vocabulary lacks}.
  """

  def __init__(
      self,
      table: SampleTable,
      history: History,
      *,
      rows: np.ndarray | None = None,
      vocabularies: Mapping[str, Sequence[str]] | None = None,
      max_events: int | None = None,
      excluded_events: Sequence[str] = (),
  ) -> None:
    if max_events is not None and max_events < 1:
      raise UserError(f"max_events is {max_events}; it must be at least 1.")
    self.rows = np.arange(len(table)) if rows is None else np.asarray(rows)
    frame = table.frame[self.rows]
    known = vocabularies or {}
    self.history = history
    self.max_events = max_events
    self.num_unseen = vocabulary.count_unseen(frame, known)
    self._excluded = None
    if excluded_events:
      self._excluded = history.pair_mask(excluded_events)
    self._users = frame[schema.USER_ID]
    self._codes = history.codes(self._users)
    self._times = times_of(frame)
    self._arrays = vocabulary.encode(frame, table.columns, known)
    self._arrays |= {
        ROW: frame[ROW].to_numpy(),
        TIME: self._times,
        WEIGHT: frame[WEIGHT].to_numpy().astype(np.float32),
    }
    self._candidates = {
        CANDIDATE + name: frame[CANDIDATE + name]
        for name in table.columns.candidates
    }

  def __len__(self) -> int:
    return len(self.rows)

  def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
    """Returns one sample.

    Args:
      index: of the sample; negative counts from the end.

    Returns:
      "user_id": str; "pair" int32 [n], "timestamp" int64 [n] microseconds UTC
      and the extra columns [n], in time order; "start": int, the first of the
      timestamps, 0 without a history; "sample/row": the row in the source;
      "sample/time": microseconds UTC, END_OF_HISTORY for none;
      "sample/weight"; "candidate/NAME": str; and "label/NAME", "dense/NAME",
      "categorical/NAME" as in `vocabulary.encode`. Arrays are for reading.

    Raises:
      IndexError: if there is no such sample.
      UserError: if a file of the dataset is damaged.
    """
    position = operator.index(index)
    if not -len(self) <= position < len(self):
      raise IndexError(f"index {position} of {len(self)} samples")
    position %= len(self)
    events = self.history.before(
        int(self._codes[position]),
        int(self._times[position]),
        max_events=self.max_events,
        excluded=self._excluded,
    )
    times = events[schema.TIMESTAMP]
    return {
        schema.USER_ID: self._users[position],
        "start": int(times[0]) if len(times) else 0,
        **events,
        **{name: values[position] for name, values in self._arrays.items()},
        **{name: ids[position] for name, ids in self._candidates.items()},
    }

  def __iter__(self) -> Iterator[dict[str, Any]]:
    for index in range(len(self)):
      yield self[index]
