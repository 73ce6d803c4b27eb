"""Sequences of events -> sequences of tokens with time, read one at a time."""

import collections
from collections.abc import Callable, Mapping
import threading
from typing import Any, Protocol

import numpy as np
import polars as pl

from behavior_lm.common.errors import UserError
from behavior_lm.data import time_features
from behavior_lm.data.reading import Reading
from behavior_lm.data.time_gaps import HIDDEN_GAP
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.data.tokenizers.base import Tokens
from behavior_lm.logs.dataset import Dataset

Fields = dict[str, np.ndarray]
RECENT_TOKENS = 2**21
# Further [num_tokens] arrays of a sequence: masks of evaluators, say. Gets the
# sequence's index, its events and its tokens.
Annotate = Callable[[int, Mapping[str, Any], Tokens], Fields]


class SequenceSource(Protocol):
  """Random access to sequences: {"user_id", "start", "pair", "timestamp"}."""

  def __len__(self) -> int: ...

  def __getitem__(self, index: int) -> Mapping[str, Any]: ...


class _Recent:
  """The last sequences, so that windows of one are not encoded anew each time.

  Worth most where histories are long and few: one of 100,000 events has a
  thousand windows. Bounded by tokens (some 40 bytes each); every process has
  its own.
  """

  def __init__(self) -> None:
    self._found: collections.OrderedDict[int, Fields] = (
        collections.OrderedDict()
    )
    self._size = 0
    self._lock = threading.Lock()

  def get(self, index: int) -> Fields | None:
    with self._lock:
      if index in self._found:
        self._found.move_to_end(index)
      return self._found.get(index)

  def put(self, index: int, fields: Fields) -> None:
    size = len(fields["tokens"])
    if size > RECENT_TOKENS:
      return
    with self._lock:
      if index in self._found:
        return  # Another thread was first.
      self._found[index] = fields
      self._size += size
      while self._size > RECENT_TOKENS:
        _, oldest = self._found.popitem(last=False)
        self._size -= len(oldest["tokens"])

  def __getstate__(self) -> dict[str, Any]:
    return {}

  def __setstate__(self, state: dict[str, Any]) -> None:
    del state
    self.__init__()  # type: ignore[misc]


class TokenSource:
  """Random access to token sequences; picklable.

  Args:
    source: the sequences of a split.
    tokenizer: of the model.
    unit_of_pair: [num_pairs] the tokenizer's unit of each pair code.
    reading: what the model reads beside the tokens.
    first_events: [num_sequences] microseconds UTC of the first event ever of
      each sequence's user; for `account_age`.
    annotate: further fields.
  """

  def __init__(
      self,
      source: SequenceSource,
      tokenizer: Tokenizer,
      unit_of_pair: np.ndarray,
      reading: Reading | None = None,
      *,
      first_events: np.ndarray | None = None,
      annotate: Annotate | None = None,
  ) -> None:
    self.source = source
    self.tokenizer = tokenizer
    self.unit_of_pair = np.asarray(unit_of_pair, np.int32)
    self.reading = reading or Reading()
    self.first_events = first_events
    self.annotate = annotate
    self._recent = _Recent()

  def __len__(self) -> int:
    return len(self.source)

  def __getitem__(self, index: int) -> Fields:
    """Returns one sequence as `token_fields` describes it.

    With the annotations on top, each [num_tokens]. Arrays may be shared with
    other callers: they are for reading.
    """
    found = self._recent.get(index)
    if found is None:
      found = self._read(index)
      self._recent.put(index, found)
    return found

  def _read(self, index: int) -> Fields:
    example = self.source[index]
    timestamps = np.asarray(example["timestamp"])
    tokens = self.tokenizer.tokenise(
        self.unit_of_pair[np.asarray(example["pair"])], timestamps
    )
    first = self.first_events
    fields = token_fields(
        tokens,
        timestamps,
        self.reading,
        extras={name: example[name] for name in self.reading.extras},
        first_event=None if first is None else int(first[index]),
    )
    if self.annotate is not None:
      fields |= self.annotate(index, example, tokens)
    return fields


def token_fields(
    tokens: Tokens,
    timestamps: np.ndarray | None,
    reading: Reading,
    *,
    extras: Mapping[str, np.ndarray] | None = None,
    first_event: int | None = None,
) -> Fields:
  """The token sequence of a model.

  Args:
    tokens: of one sequence.
    timestamps: [num_events] int64 microseconds UTC, ascending; None for no
      time.
    reading: what the model reads.
    extras: [num_events] each, the extra columns among the features.
    first_event: see `time_features.event_features`.

  Returns:
    Arrays [num_tokens]: `tokens`, `time_gaps` (int32, 100 ms, sums over the
    events of a token; -1 without events or time), `times` (float64 seconds
    since the first event, of a token's first event), `num_events`, `sessions`
    and the features.
  """
  size = len(tokens)
  gap = f"gap_{reading.gap_kind}"
  found: Fields = {gap: np.full(size, HIDDEN_GAP, np.int32)}
  times = np.zeros(size)
  if timestamps is not None and size:
    events = time_features.event_features(
        timestamps,
        list(dict.fromkeys([gap, *reading.computed])),
        zone=reading.zone,
        first_event=first_event,
        extras=_normalised(extras or {}, reading),
    )
    found = time_features.to_tokens(events, tokens.num_events)
    # SEP spans nothing: it stands where the session's last event does.
    times = (timestamps[tokens.first_events] - timestamps[0]) / 1e6
  return {
      "tokens": tokens.ids,
      "time_gaps": found[gap],
      "times": times,
      "num_events": tokens.num_events,
      "sessions": tokens.sessions,
  } | {name: found[name] for name in (*reading.computed, *reading.extras)}


def _normalised(
    extras: Mapping[str, np.ndarray], reading: Reading
) -> dict[str, np.ndarray]:
  """Numbers in float64 by their mean and spread in training; codes as is."""
  out: dict[str, np.ndarray] = {}
  for name, values in extras.items():
    if name in reading.categorical:
      out[name] = np.asarray(values, np.int32)
    else:
      about = reading.extra(name)
      out[name] = (np.asarray(values, np.float64) - about.mean) / about.std
  return out


def open_tokens(
    dataset: Dataset,
    split: str,
    tokenizer: Tokenizer,
    reading: Reading | None = None,
    annotate: Annotate | None = None,
) -> TokenSource:
  """The token sequences of a split.

  Args:
    dataset: prepared logs.
    split: its name.
    tokenizer: any.
    reading, annotate: see `TokenSource`.

  Raises:
    UserError: for a split or a feature that the dataset does not have.
  """
  reading = reading or Reading()
  time_features.check_names(reading.features, list(dataset.extras))
  first_events = None
  if time_features.ACCOUNT_AGE in reading.features:
    first_events = _first_events(dataset, split)
  return TokenSource(
      dataset.source(split),
      tokenizer,
      tokenizer.unit_table(dataset.pairs),
      reading,
      first_events=first_events,
      annotate=annotate,
  )


def _first_events(dataset: Dataset, split: str) -> np.ndarray:
  """[num_sequences] first event of each sequence's user, over all splits."""
  tables = [
      dataset.sequences(name).select("user_id", "start")
      for name in dataset.splits
  ]
  first = pl.concat(tables).group_by("user_id").agg(pl.col("start").min())
  found = dataset.sequences(split).select("user_id").join(
      first, on="user_id", how="left", maintain_order="left"
  )
  if found["start"].null_count():
    raise UserError(f"{dataset.path}: a user of {split} has no first event.")
  return found["start"].to_physical().to_numpy()
