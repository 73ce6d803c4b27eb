"""Whether a user's long interest finds the own short sequence among others'."""

from collections.abc import Callable, Mapping
import dataclasses
from typing import Any

import jax
from jax.sharding import Mesh
import numpy as np
from scipy import sparse

from behavior_lm.common.errors import UserError
from behavior_lm.data.categories import Vocabularies
from behavior_lm.data.items.histories import ACTION
from behavior_lm.data.items.histories import Histories
from behavior_lm.data.items.histories import read_histories
from behavior_lm.data.items.interest_rows import InterestRows
from behavior_lm.data.items.interest_rows import LONG
from behavior_lm.data.items.interest_rows import recode
from behavior_lm.data.items.interest_rows import SHORT
from behavior_lm.data.items.interest_rows import Spans
from behavior_lm.data.items.vocabulary import ItemVocabulary
from behavior_lm.data.reading import Reading
from behavior_lm.logs import schema
from behavior_lm.logs import splits
from behavior_lm.logs.dataset import Dataset
from behavior_lm.training.sharding import put_batch
from behavior_lm.training.state import merge_model

COLUMNS = (
    dict(name="hr@1", title="HR@1", format=".4f", better="high"),
    dict(name="mrr", title="MRR", format=".4f", better="high"),
    dict(name="hr@10", title="HR@10", format=".4f", better="high"),
)
MAIN = "mrr"
_USERS = 64
# Long sequences (rows) and short ones (columns), by their places -> scores.
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class InterestSubject:
  """A two-tower model, what it reads, and the data that it is scored on.

  Attributes:
    dataset: of the users that are scored.
    vocabulary: of the model.
    categories: codes of categorical columns, of the model.
    reading: what the model reads of an event.
    spans: how histories are divided.
    names: fields of a sequence, without their prefix.
    graphdef: of the model.
    mesh: devices.
  """

  dataset: Dataset
  vocabulary: ItemVocabulary
  categories: Vocabularies
  reading: Reading
  spans: Spans
  names: tuple[str, ...]
  graphdef: Any
  mesh: Mesh

  def histories(self, names: list[str]) -> Histories:
    """Histories over some splits, with the codes of the model."""
    found = read_histories(
        self.dataset, names, self.vocabulary, self.reading
    )
    return recode(found, self.dataset, self.categories)

  def rows(self, split: str, max_users: int = 0) -> InterestRows:
    """The two spans of the users of a split.

    Where splits of the same users come before, these are the long span and the
    split is the short one; otherwise a user's history is divided.

    Raises:
      UserError: if the split is unknown, or no user has both spans.
    """
    dataset = self.dataset
    dataset.check_split(split)
    group = splits.GROUPS[splits.group_of(split)]
    before = [
        name
        for name in dict.fromkeys(group[: group.index(split)])
        if name in dataset.splits
    ]
    found = self.histories([*before, split])
    if before:
      older = self.histories(before)
      known = dict(zip(older.users, older.lengths.tolist(), strict=True))
      cuts = {
          place: known[user]
          for place, user in enumerate(found.users)
          if 0 < known.get(user, 0) < found.lengths[place]
      }
    else:
      cuts = {
          int(place): self.spans.cut(int(found.lengths[place]))
          for place in np.flatnonzero(found.lengths >= 2)
      }
    if max_users:
      cuts = dict(list(cuts.items())[:max_users])
    if not cuts:
      raise UserError(
          f"{dataset.path}: no user of split {split!r} has a long and a short"
          " sequence; there is nothing to measure."
      )
    return InterestRows(
        found, self.reading, self.spans, self.vocabulary.counts, cuts=cuts
    )


@dataclasses.dataclass(frozen=True)
class OwnRanks:
  """Where each user's own short sequence was ranked.

  Attributes:
    users: [n] raw ids.
    ranks: [n] int64, from 1.
  """

  users: np.ndarray
  ranks: np.ndarray

  @property
  def ratios(self) -> Mapping[str, tuple[np.ndarray, np.ndarray]]:
    """Sums and weights by user, see `table.Scores`."""
    ones = np.ones(len(self.ranks))
    return {
        "hr@1": ((self.ranks == 1).astype(np.float64), ones),
        "mrr": (1 / self.ranks, ones),
        "hr@10": ((self.ranks <= 10).astype(np.float64), ones),
    }

  def summary(self) -> dict[str, float]:
    """Means over users."""
    return {name: float(x.mean()) for name, (x, _) in self.ratios.items()}


class OwnShort:
  """Ranks the own short sequence among those of sampled others.

  Args:
    subject: the model and the data.
    split: whose users are ranked.
    every: steps between two evaluations while training.
    others: sampled users whose short sequences compete.
    max_users: so many users alone, the first ones; 0 is all.
    seed: of the samples, and of the order of equal scores.

  Raises:
    UserError: if the split has less than two users with both sequences.
  """

  def __init__(
      self,
      subject: InterestSubject,
      *,
      split: str,
      every: int = 0,
      others: int = 100,
      max_users: int = 0,
      seed: int = 0,
  ) -> None:
    if others < 1:
      raise UserError(f"others is {others}; give at least 1.")
    self.subject, self.split, self.every = subject, split, every
    self.rows = subject.rows(split, max_users)
    number = len(self.rows.users)
    if number < 2:
      raise UserError(
          f"{subject.dataset.path}: split {split!r} has one user with both"
          " sequences; there is no other to compete."
      )
    others = min(others, number - 1)
    rng = np.random.default_rng(seed)
    draw = rng.random((number, number))
    np.fill_diagonal(draw, -1.0)
    # The own sequence first, then the others.
    chosen = np.argsort(-draw, 1)[:, :others]
    self._candidates = np.concatenate([np.arange(number)[:, None], chosen], 1)
    self._ties = rng.random(self._candidates.shape)
    self.columns, self.main, self.intervals = COLUMNS, MAIN, ("hr@1",)
    self.num_events = int(self.rows.histories.offsets[-1])
    self.title = f"Own short sequence among {others} others"
    self.settings = {"others": others, "users": number}
    self.notes: tuple[str, ...] = (
        "Equal scores are ordered at random, by one seed for all rows. The"
        " reference knows when a sequence begins: a short one that follows a"
        " long one at once gives itself away.",
    )
    self._encode = jax.jit(make_encode(subject.graphdef))

  def run(self, state: Mapping[str, Any]) -> dict[str, float]:
    """The figures of `OwnRanks.summary`."""
    return self.scores(state).summary()

  def scores(self, state: Mapping[str, Any]) -> OwnRanks:
    """The ranks by the cosines of a model."""
    long, short = self.vectors(state)
    return self.rank(lambda a, b: long[a] @ short[b].T)

  def vectors(self, state: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """[users, embed_dim] of both sequences, of length 1."""
    names = [
        prefix + name for prefix in (LONG, SHORT) for name in self.subject.names
    ]
    devices = self.subject.mesh.shape["data"]
    wanted = min(_USERS, len(self.rows.users))
    size = -(-wanted // devices) * devices
    found = []
    for users, batch in self.rows.batches(size):
      # The last batch repeats its first row: one shape is compiled.
      filled = {
          name: np.concatenate([
              batch[name], np.repeat(batch[name][:1], size - len(users), 0)
          ])
          for name in names
      }
      placed = put_batch(filled, self.subject.mesh)
      both = self._encode(state["params"], state["model_state"], placed)
      found.append([np.asarray(x)[: len(users)] for x in both])
    long, short = (np.concatenate(part) for part in zip(*found, strict=True))
    return unit(long), unit(short)

  def rank(self, score: Score) -> OwnRanks:
    """The ranks by any function of places of users."""
    ranks = []
    number = len(self.rows.users)
    everyone = np.arange(number)
    for first in range(0, number, _USERS):
      here = everyone[first : first + _USERS]
      scores = np.take_along_axis(
          np.asarray(score(here, everyone), np.float64),
          self._candidates[here],
          1,
      )
      ties = self._ties[here]
      own, tie = scores[:, :1], ties[:, :1]
      better = (scores > own) | ((scores == own) & (ties > tie))
      ranks.append(1 + better.sum(1))
    users = np.array(self.rows.histories.users, object)[self.rows.users]
    return OwnRanks(users, np.concatenate(ranks))

  def baselines(self) -> tuple[dict[str, OwnRanks], set[str]]:
    """Ranks by counts; the second names those that are no fair rivals."""
    found = self.rows.histories
    columns = {"item": found.tokens - schema.NUM_SPECIAL}
    for name in self.subject.categories:
      columns[name] = found.extras[name] - 1
    if ACTION in found.extras:
      columns["action"] = found.extras[ACTION] - 1
    out: dict[str, OwnRanks] = {}
    for name, codes in columns.items():
      long, short = (self._histogram(codes, part) for part in (0, 1))
      out[f"{name} histogram"] = self.rank(_products(long, short))
    counts = np.log1p(self.subject.vocabulary.counts)
    popularity = np.zeros(len(self.rows.users))
    gap = np.zeros((2, len(self.rows.users)))
    for place, (long_span, short_span) in enumerate(self._bounds()):
      items = columns["item"][short_span]
      items = items[items >= 0]
      popularity[place] = counts[items].mean() if len(items) else 0.0
      gap[:, place] = found.times[long_span][-1], found.times[short_span][0]
    out["popularity"] = self.rank(
        lambda a, b: np.tile(popularity[b], (len(a), 1))
    )
    out["begins when the long one ends"] = self.rank(
        lambda a, b: -np.abs(gap[1][b] - gap[0][a][:, None])
    )
    return out, {"begins when the long one ends"}

  def _bounds(self) -> list[tuple[slice, slice]]:
    """The events of both spans of each user, places in the histories."""
    offsets = self.rows.histories.offsets
    found = []
    for user in self.rows.users:
      first, end = int(offsets[user]), int(offsets[user + 1])
      cut = first + self.rows.cut_of(int(user))
      found.append((slice(first, cut), slice(cut, end)))
    return found

  def _histogram(self, codes: np.ndarray, part: int) -> sparse.csr_array:
    """[users, codes] counts of one span of each user, of length 1."""
    place, value = [], []
    for row, spans in enumerate(self._bounds()):
      known = codes[spans[part]]
      known = known[known >= 0]
      place.append(np.full(len(known), row))
      value.append(known)
    where = np.concatenate(place), np.concatenate(value)
    shape = (len(self.rows.users), max(int(codes.max(initial=0)), 0) + 1)
    counts = sparse.csr_array(
        (np.ones(len(where[0])), where), shape=shape, dtype=np.float64
    )
    norms = np.sqrt(counts.multiply(counts).sum(1))
    return sparse.csr_array(
        sparse.diags_array(1 / np.maximum(norms, 1e-12)) @ counts
    )


def _products(long: sparse.csr_array, short: sparse.csr_array) -> Score:
  return lambda a, b: np.asarray((long[a] @ short[b].T).toarray())


def make_encode(graphdef: Any) -> Any:
  """A pure function (params, model_state, batch) -> long, short vectors."""

  def encode(
      params: Any, model_state: Any, batch: Mapping[str, jax.Array]
  ) -> tuple[jax.Array, jax.Array]:
    with jax.default_matmul_precision("float32"):
      found = merge_model(graphdef, params, model_state)(batch)
      return found["long"], found["short"]

  return encode


def unit(x: np.ndarray) -> np.ndarray:
  """[n, dim] -> float64 vectors of length 1, or 0."""
  x = x.astype(np.float64)
  return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
