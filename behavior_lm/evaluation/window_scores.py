"""Scores of whole windows: halves that belong together, order, replacements."""

import abc
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from behavior_lm.common.errors import UserError
from behavior_lm.data.fields import Batch
from behavior_lm.data.hidden_events import SpelledBits
from behavior_lm.data.time_gaps import HIDDEN_GAP
from behavior_lm.data.windows import History
from behavior_lm.evaluation.table import RatioScores
from behavior_lm.evaluation.token_scores import fixed_batches
from behavior_lm.evaluation.token_scores import Subject
from behavior_lm.logs import schema
from behavior_lm.objectives.contrastive import Contrastive
from behavior_lm.objectives.replaced_events import ReplacedEvents
from behavior_lm.objectives.sentence_order import SentenceOrder
from behavior_lm.training.sharding import put_batch
from behavior_lm.training.state import merge_model

# Rows of a table of cosines that exist at once.
_AT_ONCE = 1024


class _WindowScores(abc.ABC):
  """What the evaluators of this file share.

  Args:
    subject: what is scored.
    split: its name.
    every: steps between two evaluations while training; 0 is never.
  """

  history: ClassVar[History] = "windows"
  title: ClassVar[str]
  columns: ClassVar[tuple[dict[str, str], ...]]
  main: ClassVar[str]
  notes: ClassVar[tuple[str, ...]] = ()

  def __init__(self, subject: Subject, *, split: str, every: int = 0) -> None:
    self.subject, self.split, self.every = subject, split, every
    self.settings: dict[str, Any] = {}
    self._users = subject.users(split)
    spelled = SpelledBits(subject.dataset, subject.tokenizer)
    self._windows = subject.windows(split, spelled, history=self.history)
    self._program = jax.jit(self._compute)

  def run(self, state: Mapping[str, Any]) -> dict[str, float]:
    """The figures of `scores`."""
    return self.scores(state).summary()

  @abc.abstractmethod
  def scores(self, state: Mapping[str, Any]) -> RatioScores:
    """Sums over the split."""

  def baselines(self) -> tuple[dict[str, RatioScores], tuple[str, ...]]:
    """There are none: by chance alone, the main figure is 0.5."""
    return {}, ()

  @abc.abstractmethod
  def _measure(self, model: Any, batch: Any, number: jax.Array) -> Any:
    """What is computed of a batch and its number."""

  def _compute(
      self, state: Mapping[str, Any], batch: Any, number: jax.Array
  ) -> Any:
    with jax.default_matmul_precision("float32"):
      model = merge_model(
          self.subject.graphdef, state["params"], state["model_state"]
      )
      return self._measure(model, batch, number)

  def _found(
      self, state: Mapping[str, Any], segments: int | None = None
  ) -> Iterator[tuple[Batch, Any]]:
    """Each batch of the split, and what was computed of it."""
    state = {name: state[name] for name in ("params", "model_state")}
    names = (*self.subject.names, "sessions")
    batches = fixed_batches(self.subject, self._windows, segments)
    for number, batch in enumerate(batches):
      placed = put_batch(
          {name: batch[name] for name in names}, self.subject.mesh
      )
      outputs = self._program(state, placed, np.int32(number))
      yield batch, jax.tree.map(np.asarray, outputs)

  def _sums(self, where: np.ndarray, values: np.ndarray) -> np.ndarray:
    """[num_sequences] sums of values by sequence."""
    return np.bincount(where, values, minlength=len(self._users))


def windows_of(
    batch: Mapping[str, np.ndarray], valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Row, segment (from 0) and sequence of each window that is valid.

  Args:
    batch: packed, with `sequence`.
    valid: [batch, segments] bool.
  """
  rows, places = np.nonzero(
      (batch["positions"] == 1) & (batch["segment_ids"] > 0)
  )
  segments = batch["segment_ids"][rows, places] - 1
  sequences = batch["sequence"][rows, places]
  use = valid[rows, segments]
  return rows[use], segments[use], sequences[use]


class OrderAccuracy(_WindowScores):
  """The share of windows of which the model says rightly if they were swapped.

  Each window of two sessions or more is shown both in order and swapped.
  """

  title = "Sentence order"
  columns = (
      dict(name="accuracy", title="accuracy", format=".1%", better="high"),
  )
  main = "accuracy"

  def _measure(self, model: Any, batch: Any, number: jax.Array) -> Any:
    objective = SentenceOrder(HIDDEN_GAP, self.subject.spec.max_segments)
    shape = (len(batch["tokens"]), objective.max_segments)
    right = []
    for swapped in (False, True):
      inputs, valid = objective.swap(batch, jnp.full(shape, swapped))
      found = objective.logits(model, inputs, deterministic=True)
      right.append((found > 0) == swapped)
    return right[0].astype(int) + right[1], valid

  def scores(self, state: Mapping[str, Any]) -> RatioScores:
    """Hits of each sequence's windows."""
    where, hits = [], []
    for batch, (right, valid) in self._found(state):
      rows, segments, sequences = windows_of(batch, valid)
      where.append(sequences)
      hits.append(right[rows, segments])
    place = np.concatenate(where)
    if not len(place):
      raise UserError(
          f"split {self.split!r} has no window of two sessions: there is no"
          " order to tell."
      )
    shown = 2.0 * self._sums(place, np.ones(len(place)))
    right = self._sums(place, np.concatenate(hits))
    return RatioScores(self._users, shown / 2, {"accuracy": (right, shown)})


class ReplacedDetection(_WindowScores):
  """The AUC with which the model separates replaced events from true ones.

  The draws follow from the seed and the number of a batch, so only runs whose
  batches have the same shape can be compared.

  Args:
    subject, split, every: see `_WindowScores`.
    replace_rate: share of the events for which another one is drawn.
    seed: of the draws.
  """

  title = "Replaced events"
  columns = (dict(name="auc", title="AUC", format=".4f", better="high"),)
  main = "auc"
  notes = (
      "The AUC is the share of pairs of a replaced and a true event, of any"
      " users, in which the replaced one has the higher score. Its interval is"
      " over the users of the replaced ones.",
  )

  def __init__(
      self, *args: Any, replace_rate: float = 0.15, seed: int = 0, **more: Any
  ) -> None:
    super().__init__(*args, **more)
    self.settings = {"replace_rate": replace_rate, "seed": seed}

  def _measure(self, model: Any, batch: Any, number: jax.Array) -> Any:
    objective = ReplacedEvents(
        schema.NUM_SPECIAL, schema.UNK_ID, self.settings["replace_rate"]
    )
    key = jax.random.fold_in(jax.random.key(self.settings["seed"]), number)
    inputs, is_event = objective.replace(batch, key)
    found = objective.logits(model, inputs, deterministic=True)
    return found, is_event, inputs["tokens"] != batch["tokens"]

  def scores(self, state: Mapping[str, Any]) -> RatioScores:
    """Sums over the replaced events of each sequence."""
    where, positives, negatives = [], [], []
    for batch, (found, is_event, is_replaced) in self._found(state):
      positives.append(found[is_replaced])
      negatives.append(found[is_event & ~is_replaced])
      where.append(batch["sequence"][is_replaced])
    true = np.sort(np.concatenate(negatives))
    high = np.concatenate(positives)
    below = np.searchsorted(true, high) + np.searchsorted(true, high, "right")
    place = np.concatenate(where)
    number = self._sums(place, np.ones(len(place)))
    wins = self._sums(place, below / (2 * max(len(true), 1)))
    return RatioScores(self._users, number, {"auc": (wins, number)})


class HalvesFound(_WindowScores):
  """Whether half of a window finds the other half among those of other users.

  The last window of each sequence is cut in the middle, and its first half
  ranks the second halves: its own, and those of all other users. Equal cosines
  count as better than its own.
  """

  history = "last"
  title = "Halves of a user's events"
  columns = (
      dict(name="hr@1", title="HR@1", format=".4f", better="high"),
      dict(name="mrr", title="MRR", format=".4f", better="high"),
  )
  main = "mrr"

  def _measure(self, model: Any, batch: Any, number: jax.Array) -> Any:
    inputs, valid = self._cut(batch)
    objective = self._objective
    return objective.vectors(model, inputs, deterministic=True), valid

  @property
  def _objective(self) -> Contrastive:
    spec = self.subject.spec
    return Contrastive(
        schema.CLS_ID, HIDDEN_GAP, max_segments=max(2, spec.max_segments)
    )

  def _cut(self, batch: Any) -> Any:
    shape = (len(batch["tokens"]), self._objective.max_segments // 2)
    return self._objective.cut(batch, jnp.full(shape, 0.5))

  def scores(self, state: Mapping[str, Any]) -> RatioScores:
    """Hits and inverse ranks of each sequence."""
    where, halves = [], []
    for batch, (vectors, valid) in self._found(state, self._segments):
      rows, segments, sequences = windows_of(batch, valid)
      where.append(sequences)
      halves.append(vectors[rows, segments].astype(np.float64))
    both = np.concatenate(halves)
    return self._rank(np.concatenate(where), both[:, 0], both[:, 1])

  def baselines(self) -> tuple[dict[str, RatioScores], tuple[str, ...]]:
    """The cosine of how often each token occurs in both halves."""
    where, counts = [], []
    width = self.subject.tokenizer.vocab_size
    cut = jax.jit(self._cut)
    for batch in fixed_batches(self.subject, self._windows, self._segments):
      inputs, valid = jax.tree.map(
          np.asarray,
          cut({
              name: batch[name]
              for name in ("tokens", "time_gaps", "segment_ids", "positions")
          }),
      )
      rows, segments, sequences = windows_of(batch, valid)
      where.append(sequences)
      here = (inputs["segment_ids"] > 0) & (inputs["positions"] > 0)
      number = 2 * valid.shape[1]
      row = np.nonzero(here)[0] * number + inputs["segment_ids"][here] - 1
      table = sparse.csr_array(
          (np.ones(len(row)), (row, inputs["tokens"][here])),
          shape=(len(here) * number, width),
      )
      first = rows * number + 2 * segments
      counts.append(tuple(_unit(table[first + half]) for half in (0, 1)))
    first, second = (
        sparse.vstack(part).tocsr() for part in zip(*counts, strict=True)
    )
    found = self._rank(np.concatenate(where), first, second)
    return {"event histogram": found}, ()

  @property
  def _segments(self) -> int:
    """Windows of a row, of which all are cut."""
    return min(
        self.subject.spec.segments, self._objective.max_segments // 2
    )

  def _rank(self, where: np.ndarray, first: Any, second: Any) -> RatioScores:
    users = self._users[where]
    if len(set(users)) < 2:
      raise UserError(
          f"split {self.split!r} has fewer than two users with three events:"
          " there is no other half to compete."
      )
    codes = np.unique(users, return_inverse=True)[1]
    ranks = []
    for begin in range(0, len(where), _AT_ONCE):
      here = slice(begin, begin + _AT_ONCE)
      cosines = first[here] @ second.T
      if sparse.issparse(cosines):
        cosines = cosines.toarray()
      own = np.diagonal(cosines[:, here])[:, None]
      others = codes[here][:, None] != codes
      ranks.append(1 + ((cosines >= own) & others).sum(1))
    rank = np.concatenate(ranks)
    number = self._sums(where, np.ones(len(where)))
    return RatioScores(
        self._users,
        number,
        {
            "mrr": (self._sums(where, 1 / rank), number),
            "hr@1": (self._sums(where, rank == 1), number),
        },
    )


def _unit(rows: sparse.csr_array) -> sparse.csr_array:
  lengths = np.sqrt(rows.multiply(rows).sum(1))
  return sparse.diags_array(1 / np.maximum(lengths, 1e-12)) @ rows
