"""Masked gaps: the times that the fixed mask hides with its events."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from behavior_lm.evaluation.masked_perplexity import MaskedPerplexity
from behavior_lm.evaluation.table import RatioScores
from behavior_lm.evaluation.token_scores import make_score
from behavior_lm.evaluation.token_scores import Subject
from behavior_lm.objectives.gap_mixture import gap_nll
from behavior_lm.objectives.gap_mixture import mean_log_gap


class MaskedGapScores:
  """Scores the gaps of masked events, for a model with a head for gaps.

  Args:
    subject: what is scored.
    **settings: of `MaskedPerplexity`, whose events and windows these are.
  """

  title = "Masked gaps"
  columns = (
      dict(
          name="nats_per_gap", title="nats per gap", format=".3f", better="low"
      ),
      dict(
          name="log_gap_error",
          title="mean absolute error of log(gap + 1)",
          format=".3f",
          better="low",
      ),
  )
  main = "nats_per_gap"
  notes = (
      "Gaps are whole numbers of 100 ms; each is hidden with its event.",
  )

  def __init__(self, subject: Subject, **settings: Any) -> None:
    self._events = MaskedPerplexity(subject, **settings)
    self.split, self.every = self._events.split, self._events.every
    self.settings = self._events.settings
    self._score = jax.jit(make_score(subject.graphdef, _gap_scores))

  def run(self, state: Mapping[str, Any]) -> dict[str, float]:
    """nats_per_gap, log_gap_error."""
    return self.scores(state).summary()

  def scores(self, state: Mapping[str, Any]) -> RatioScores:
    """Sums over the masked gaps of each sequence."""
    found = self._events.sums(
        state,
        self._score,
        lambda batch: (batch["masked"] > 0) & (batch["time_gaps"] >= 0),
        target="time_gaps",
    )
    return RatioScores(
        found.users,
        found.num_events,
        {
            "nats_per_gap": (found.nats, found.count),
            "log_gap_error": (found.correct, found.count),
        },
    )

  def baselines(self) -> tuple[dict[str, RatioScores], tuple[str, ...]]:
    """There are none."""
    return {}, ()


def _gap_scores(
    head: Mapping[str, jax.Array], targets: Mapping[str, jax.Array]
) -> tuple[jax.Array, jax.Array]:
  """[batch, n] nats of the gaps, and errors of their logarithms."""
  mixture, gaps = head["gap_mixture"], jnp.maximum(targets["time_gaps"], 0)
  error = jnp.abs(mean_log_gap(mixture) - jnp.log1p(gaps))
  return gap_nll(mixture, gaps), error
