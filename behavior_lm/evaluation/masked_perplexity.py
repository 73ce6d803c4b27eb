"""Masked perplexity, accuracy and bits per raw event under one fixed mask."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.baselines.count_baselines import FULL_CONTEXT
from behavior_lm.baselines.count_baselines import score_baselines
from behavior_lm.common.errors import UserError
from behavior_lm.data.fields import Batch
from behavior_lm.data.fields import hide
from behavior_lm.data.hidden_events import MaskedTokens
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.evaluation import table
from behavior_lm.evaluation.token_scores import make_score
from behavior_lm.evaluation.token_scores import Subject
from behavior_lm.evaluation.token_scores import sum_scores


class MaskedPerplexity:
  """Scores a model on a split; every masked token is hidden, with its gap.

  No masked token is left unchanged or randomised here, unlike in training: a
  model that may copy the answer in a tenth of the cases is not comparable to
  a baseline that may not.

  Args:
    subject: what is scored.
    split: its name.
    every: steps between two evaluations while training; 0 is never.
    mask_rate, mask_seed: of the fixed mask.
    spans_of: see `data.hidden_events.MaskedTokens`.
  """

  title = "Masked events"
  columns, main = table.TOKEN_COLUMNS, table.TOKEN_MAIN
  notes = (
      "The same events are hidden from every row, each with its gap and its"
      " features.",
      table.TOKEN_NOTE,
  )

  def __init__(
      self,
      subject: Subject,
      *,
      split: str,
      every: int = 0,
      mask_rate: float = 0.15,
      mask_seed: int = 0,
      spans_of: Tokenizer | None = None,
  ) -> None:
    self.subject, self.split, self.every = subject, split, every
    self.settings: dict[str, Any] = {
        "mask_rate": mask_rate, "mask_seed": mask_seed
    }
    self.spans_of = spans_of
    self._users = subject.users(split)
    masked = MaskedTokens(
        subject.dataset, subject.tokenizer, spans_of=spans_of, **self.settings
    )
    self._windows = subject.windows(split, masked)
    self._score = jax.jit(make_score(subject.graphdef))

  def run(self, state: Mapping[str, Any]) -> dict[str, float]:
    """perplexity, accuracy, bits_per_event."""
    return self.scores(state).summary()

  def scores(self, state: Mapping[str, Any]) -> SequenceScores:
    """Sums over the masked events of each sequence."""
    return self.sums(state, self._score, lambda batch: batch["masked"])

  def sums(
      self,
      state: Mapping[str, Any],
      score: Any,
      find: Callable[[Batch], np.ndarray],
      target: str = "tokens",
  ) -> SequenceScores:
    """What `score` says of the hidden tokens that `find` marks."""
    subject = self.subject

    def inputs(batch: Batch) -> Batch:
      hidden = batch["masked"] > 0
      return hide(batch, hidden, subject.names, subject.reading.table)

    found = sum_scores(
        subject,
        self._windows,
        score,
        state,
        self._users,
        find=find,
        inputs=inputs,
        target=target,
    )
    if not found.count.sum():
      raise UserError(
          f"split {self.split!r} has too few events for any to be masked."
      )
    return found

  def baselines(self) -> tuple[dict[str, SequenceScores], tuple[str, ...]]:
    """Count models on the same events, and which of them is no fair rival."""
    found = score_baselines(
        self.subject.dataset,
        self.subject.tokenizer,
        split=self.split,
        spans_of=self.spans_of,
        gap_kind=self.subject.reading.gap_kind,
        **self.settings,
    )
    return found, (FULL_CONTEXT,)
