"""Perplexity of the next event: every event of a split from its past."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.baselines import next_event_baselines
from behavior_lm.data.fields import Batch
from behavior_lm.data.hidden_events import SpelledBits
from behavior_lm.evaluation import table
from behavior_lm.evaluation.token_scores import make_score
from behavior_lm.evaluation.token_scores import Subject
from behavior_lm.evaluation.token_scores import sum_scores
from behavior_lm.logs import schema


class NextEventPerplexity:
  """Scores a causal model on a split, each event once.

  The context of an event begins with its sequence (a user-day, say), or as far
  back as the model reaches: windows overlap, and a token is scored in the
  first one that holds it, behind at least max_length - stride tokens.

  Args:
    subject: what is scored.
    split: its name.
    every: steps between two evaluations while training; 0 is never.
    stride: tokens from window to window; 0 is half of the model's length. A
      smaller one gives longer contexts and takes longer.
  """

  title = "Next events"
  columns, main = table.TOKEN_COLUMNS, table.TOKEN_MAIN
  notes = (
      "Every event is predicted from the events before it in its sequence. A"
      " model sees them back to the start of a window, n-grams one fewer than"
      " their order. Models may read the times of past events; n-grams with"
      " gap read the time between the last two.",
      table.TOKEN_NOTE,
  )

  def __init__(
      self, subject: Subject, *, split: str, every: int = 0, stride: int = 0
  ) -> None:
    self.subject, self.split, self.every = subject, split, every
    length = subject.spec.max_length
    self._capacity = length - 1
    self._stride = stride or max(1, length // 2)
    self.settings = {"stride": self._stride}
    self._users = subject.users(split)
    spelled = SpelledBits(subject.dataset, subject.tokenizer)
    self._windows = subject.windows(
        split, spelled, history="strided", stride=self._stride
    )
    self._score = jax.jit(make_score(subject.graphdef))

  def run(self, state: Mapping[str, Any]) -> dict[str, float]:
    """perplexity, accuracy, bits_per_event."""
    return self.scores(state).summary()

  def scores(self, state: Mapping[str, Any]) -> SequenceScores:
    """Sums over the events of each sequence."""
    names = self.subject.names
    return sum_scores(
        self.subject,
        self._windows,
        self._score,
        state,
        self._users,
        find=lambda batch: first_seen(batch, self._capacity, self._stride),
        inputs=lambda batch: {name: batch[name] for name in names},
        shift=1,
    )

  def baselines(self) -> tuple[dict[str, SequenceScores], tuple[str, ...]]:
    """n-grams on the same events; all of them are fair."""
    found = next_event_baselines.score_next_event_baselines(
        self.subject.dataset, self.subject.tokenizer, split=self.split
    )
    return found, ()


def first_seen(batch: Batch, capacity: int, stride: int) -> np.ndarray:
  """Marks the events that no earlier window of their sequence holds.

  Args:
    batch: packed strided windows, with `token_index` in the sequence.
    capacity: tokens of a full window, without CLS.
    stride: tokens from window to window; the last one may be nearer.

  Returns:
    [batch, length] bool.
  """
  positions, place = batch["positions"], batch["token_index"]
  # The window's first place, from any of its tokens (CLS has position 0).
  start = place - positions + 1
  before = (start - 1) // stride * stride
  is_new = (start == 0) | (place >= before + capacity)
  is_event = (batch["num_events"] > 0) & (batch["tokens"] != schema.PAD_ID)
  return is_event & is_new & (positions > 0) & (batch["segment_ids"] > 0)
