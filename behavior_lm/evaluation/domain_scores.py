"""AUC and log loss of each domain, and their mean over the domains."""

from collections.abc import Mapping, Sequence
import math
from typing import Any, Protocol

import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.evaluation.label_metrics import binary_figures
from behavior_lm.evaluation.label_metrics import Figures

# The label that is measured, see `recipes.domains`.
LABEL = "liked"
MEASURES = ("auc", "log_loss")


class DomainSubject(Protocol):
  """What is measured: `label_scores.LabelSubject`, for one."""

  sides: Mapping[str, tuple[Any, np.ndarray]]

  def predict(
      self, state: Mapping[str, Any], split_name: str
  ) -> Mapping[str, np.ndarray]:
    """{label: probabilities [n]} of a split."""


class DomainScores:
  """Figures of one split: `auc` and `log_loss` (means), `DOMAIN/auc`, ...

  Args:
    subject: what is measured.
    domains: {split: [n] names of the rows' domains}.
    split: of the rows, such as "valid".
    every: steps between two evaluations while training.

  Raises:
    UserError: if there is no such split.
  """

  def __init__(
      self,
      subject: DomainSubject,
      domains: Mapping[str, Sequence[str] | np.ndarray],
      *,
      split: str,
      every: int = 0,
  ) -> None:
    if split not in subject.sides:
      raise UserError(
          f"evaluator of the split {split!r}: the rows are divided into"
          f" {', '.join(subject.sides)}."
      )
    self.subject, self.split, self.every = subject, split, every
    self._domains = np.asarray(domains[split])

  def run(self, state: Mapping[str, Any]) -> Figures:
    labels = self.subject.sides[self.split][1][:, 0]
    predicted = self.subject.predict(state, self.split)[LABEL]
    return domain_figures(self._domains, labels, predicted)


def domain_figures(
    domains: np.ndarray, labels: np.ndarray, scores: np.ndarray
) -> Figures:
  """Figures by domain.

  Args:
    domains: [n] names.
    labels: [n] of 0 and 1.
    scores: [n] probabilities.

  Returns:
    {"DOMAIN/auc": ..., "DOMAIN/log_loss": ..., "auc": ..., "log_loss": ...};
    the last two are means over domains, where a domain with one class alone
    has no AUC and is left out of its mean.
  """
  found: Figures = {}
  for name in sorted(set(domains.tolist())):
    rows = domains == name
    # The threshold concerns other figures than these.
    own = binary_figures(labels[rows], scores[rows], 0.5)
    found |= {f"{name}/{measure}": own[measure] for measure in MEASURES}
  for measure in MEASURES:
    values = [
        value
        for name, value in found.items()
        if name.endswith(f"/{measure}") and not math.isnan(value)
    ]
    found[measure] = float(np.mean(values)) if values else math.nan
  return found
