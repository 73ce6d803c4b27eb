"""Scores the candidates of requests, and measures the scores."""

from collections.abc import Mapping, Sequence
import dataclasses
import functools
from typing import Any

import jax
from jax.sharding import Mesh
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data.features.actions import AGES
from behavior_lm.data.features.actions import check_before
from behavior_lm.data.features.actions import ITEMS
from behavior_lm.data.features.actions import TYPES
from behavior_lm.data.features.requests import RequestRows
from behavior_lm.data.features.space import BAG
from behavior_lm.data.features.space import IDS_ARRAY
from behavior_lm.evaluation.label_scores import make_label_program
from behavior_lm.evaluation.request_metrics import diversity_at_k
from behavior_lm.evaluation.request_metrics import hit_at_k
from behavior_lm.evaluation.request_metrics import row_figures
from behavior_lm.training.sharding import put_batch

# Seconds that make an action a late one, for the diversity of lists.
_DAY = 86_400.0


@dataclasses.dataclass(frozen=True)
class RequestSubject:
  """A model of requests, and the rows that it is measured on.

  Attributes:
    heads: names of the actions that are predicted.
    sides: {split: rows}.
    batch_size: rows of a batch.
    names: fields that the model reads.
    graphdef: of the model.
    mesh: devices.
    columns: names of the columns of categories, in the order of "ids".
    candidate: the one of what is shown.
    no_items: ids of missing and unknown ones.
    shift: what is added to all logits: the logarithm of the share of negatives
      that training kept.
  """

  heads: Sequence[str]
  sides: Mapping[str, RequestRows]
  batch_size: int
  names: tuple[str, ...]
  graphdef: Any
  mesh: Mesh
  columns: Sequence[str] = ()
  candidate: str = ""
  no_items: Sequence[int] = ()
  shift: float = 0.0

  @functools.cached_property
  def program(self) -> Any:
    """The compiled model."""
    return jax.jit(make_label_program(self.graphdef))

  def predict(self, state: Mapping[str, Any], split: str) -> np.ndarray:
    """[n, heads] float64 probabilities of a split."""
    return self.predict_rows(state, self.sides[split], split)

  def predict_rows(
      self, state: Mapping[str, Any], rows: RequestRows, where: str
  ) -> np.ndarray:
    """[n, heads] float64 probabilities of any rows.

    Raises:
      UserError: if an action is not before its request.
    """
    found = []
    for first in range(0, len(rows), self.batch_size):
      # The last batch repeats a row: one program serves all of them.
      at = np.minimum(
          np.arange(first, first + self.batch_size), len(rows) - 1
      )
      batch = rows.batch(at)
      if TYPES in batch:
        check_before(batch, where)
      inputs = put_batch({name: batch[name] for name in self.names}, self.mesh)
      outputs = self.program(state["params"], state["model_state"], inputs)
      found.append(np.asarray(outputs))
    logits = np.concatenate(found)[: len(rows)].astype(np.float64)
    return 1.0 / (1.0 + np.exp(-(logits + self.shift)))


class RequestScores:
  """Figures of `request_metrics` on one split.

  Args:
    subject: what is measured.
    split: such as "valid".
    every: steps between two evaluations while training.
    k: of HIT@k.
    head_weights: {head: factor in the sum that ranks the candidates of a
      request}; 1 for others, below 0 for actions that should not happen.
    category: column by which the diversity of the first k is measured, of one
      category, or of several of which the first counts; empty is none.

  Raises:
    UserError: if there is no such split, head or column.
  """

  def __init__(
      self,
      subject: RequestSubject,
      *,
      split: str,
      every: int = 0,
      k: int = 3,
      head_weights: Mapping[str, float] | None = None,
      category: str = "",
  ) -> None:
    if split not in subject.sides:
      raise UserError(
          f"evaluator of the split {split!r}: there are tables of"
          f" {', '.join(subject.sides)}. Set --config.data.{split}=FILE."
      )
    unknown = sorted(set(head_weights or {}) - set(subject.heads))
    if unknown:
      raise UserError(
          f"head_weights name {unknown[0]!r}; the heads are"
          f" {', '.join(subject.heads)}."
      )
    self.subject, self.split, self.every, self.k = subject, split, every, k
    self.category = category
    if category and self._categories(split) is None:
      raise UserError(
          f"evals category {category!r} is no feature of categories; they are"
          f" {', '.join(subject.columns)}."
      )
    self.head_weights = np.array(
        [(head_weights or {}).get(head, 1.0) for head in subject.heads]
    )

  def run(self, state: Mapping[str, Any]) -> dict[str, float]:
    return self.figures(self.subject.predict(state, self.split))

  def figures(self, probabilities: np.ndarray) -> dict[str, float]:
    """The measures of rows and HIT@k of requests, from probabilities."""
    rows = self.subject.sides[self.split]
    heads = self.subject.heads
    out: dict[str, float] = {}
    for place, head in enumerate(heads):
      labels = rows.labels[:, place]
      known = ~np.isnan(labels)
      if not known.any():
        continue
      found = row_figures(
          labels[known], probabilities[known, place], rows.users[known]
      )
      prefix = f"{head}/" if len(heads) > 1 else ""
      out |= {prefix + name: value for name, value in found.items()}
    ranked = probabilities @ self.head_weights
    hits = hit_at_k(
        rows.requests,
        ranked,
        {head: rows.labels[:, n] for n, head in enumerate(heads)},
        self.k,
    )
    for head, value in hits.items():
      name = f"hit@{self.k}"
      out[f"{head}/{name}" if len(heads) > 1 else name] = value
    if self.category:
      categories = self._categories(self.split)
      found = diversity_at_k(
          rows.requests, ranked, categories, self._recent(categories), self.k
      )
      out |= {f"{name}@{self.k}": value for name, value in found.items()}
    return out

  def _categories(self, split: str) -> Any:
    """[n] ids of the category of each candidate; None without such a column."""
    arrays = self.subject.sides[split].arrays
    if self.category in self.subject.columns:
      place = list(self.subject.columns).index(self.category)
      return arrays[IDS_ARRAY][:, place]
    bag = arrays.get(BAG + self.category)
    return None if bag is None else bag[:, 0]

  def _recent(self, categories: np.ndarray) -> np.ndarray:
    """[n] whether the user acted on a candidate's category in the last day.

    The category of an action is that of its item where any table shows it; an
    item without an id of its own has none.
    """
    subject, rows = self.subject, self.subject.sides[self.split]
    if not rows.actions:
      return np.zeros(len(rows), bool)
    place = list(subject.columns).index(subject.candidate)
    items = {n: s.arrays[IDS_ARRAY][:, place] for n, s in subject.sides.items()}
    last = max(map(np.max, (rows.actions.items, *items.values())))
    category_of = np.full(last + 1, -1, np.int64)
    for split, found in items.items():
      category_of[found] = self._categories(split)
    category_of[[n for n in subject.no_items if n <= last]] = -1
    parts = []
    for first in range(0, len(rows), subject.batch_size):
      at = np.arange(first, min(first + subject.batch_size, len(rows)))
      batch = rows.batch(at)
      late = (batch[TYPES] > 0) & (batch[AGES] < _DAY)
      same = category_of[batch[ITEMS]] == categories[at, None]
      parts.append((late & same).any(1))
    return np.concatenate(parts)
