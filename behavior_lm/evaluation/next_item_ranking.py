"""Ranks each user's next item: by a model, or by counts."""

from collections.abc import Callable, Iterator, Mapping
import dataclasses
import math
from typing import Any

import jax
from jax.sharding import Mesh
import numpy as np

from behavior_lm.baselines.item_counts import ITEM_BASELINES
from behavior_lm.common.errors import UserError
from behavior_lm.data.items.histories import Histories
from behavior_lm.data.items.histories import ItemSource
from behavior_lm.data.items.histories import known_items
from behavior_lm.data.items.histories import read_histories
from behavior_lm.data.items.histories import tail_batch
from behavior_lm.data.items.vocabulary import ItemVocabulary
from behavior_lm.data.reading import Reading
from behavior_lm.evaluation import ranking
from behavior_lm.evaluation.ranking import Ranking
from behavior_lm.logs import schema
from behavior_lm.logs import splits
from behavior_lm.logs.dataset import Dataset
from behavior_lm.training.sharding import put_batch
from behavior_lm.training.state import merge_model

# Users of a batch, unless so many scores do not fit.
_USERS = 256
_SCORES = 2**26


@dataclasses.dataclass(frozen=True)
class ItemSubject:
  """A next-item model, what it reads, and the data that it is scored on.

  Attributes:
    dataset: of the users that are scored.
    vocabulary: of the model.
    reading: what the model reads beside the items.
    max_length: tokens of a row.
    names: fields that the model reads.
    graphdef: of the model.
    mesh: devices.
  """

  dataset: Dataset
  vocabulary: ItemVocabulary
  reading: Reading
  max_length: int
  names: tuple[str, ...]
  graphdef: Any
  mesh: Mesh


class NextItemRanking:
  """The rank of a user's first item in a split, from all that came before.

  What came before are the splits that precede it in time: train for valid,
  train and valid for test. In a split of users whose whole history is in it,
  the last item is held out.

  Args:
    subject: the model and the data.
    split: that is ranked.
    every: steps between two evaluations while training.
    k: of the metrics.
    negatives: 0 ranks all items; otherwise so many uniform unseen ones, which
      gives figures that do not compare with those of all items.
    filter_seen: items of the history are not recommended. A held-out item that
      is among them then counts as not found.
    max_users: so many users alone, the first ones; 0 is all.
    seed: of the negatives.

  Raises:
    UserError: if the split has no users with a history.
  """

  def __init__(
      self,
      subject: ItemSubject,
      *,
      split: str,
      every: int = 0,
      k: int = 10,
      negatives: int = 0,
      filter_seen: bool = True,
      max_users: int = 0,
      seed: int = 0,
  ) -> None:
    if k < 1 or negatives < 0:
      raise UserError(
          f"k is {k} and negatives is {negatives}; give at least 1 and 0."
      )
    self.subject, self.split, self.every, self.k = subject, split, every, k
    self.settings = {
        "k": k,
        "candidates": f"{negatives} uniform unseen items"
        if negatives
        else f"all {len(subject.vocabulary):,} items",
        "seen items filtered": filter_seen,
    }
    self.title = "Next item" + (
        f" among {negatives} sampled negatives" if negatives else ""
    )
    self.histories, targets = held_out(subject, split, max_users)
    self._targets = np.where(
        targets >= schema.NUM_SPECIAL, targets - schema.NUM_SPECIAL, -1
    )
    seen = [
        known_items(self.histories.items(user))
        for user in range(len(self.histories))
    ]
    self._dropped = seen if filter_seen else [x[:0] for x in seen]
    self._candidates = None
    if negatives:
      self._candidates = ranking.draw_negatives(
          self._targets, seen, len(subject.vocabulary), negatives, seed
      )
    unknown = int((self._targets < 0).sum())
    repeated = sum(
        bool(target in items)
        for target, items in zip(self._targets, self._dropped, strict=True)
    )
    self.notes: tuple[str, ...] = (
        f"{unknown:,} of {len(targets):,} held-out items are unknown to the"
        f" model, and {repeated:,} were seen before and filtered: both count"
        " as not found.",
        "The input is all that came before the held-out item; the time of the"
        " held-out event itself is not read.",
    )
    self._source = ItemSource(self.histories, subject.reading)
    self._score = jax.jit(make_item_scores(subject.graphdef))

  def run(self, state: Mapping[str, Any]) -> dict[str, float]:
    """The figures of `Ranking.summary`; those of empty groups are left out."""
    figures = self.scores(state).summary()
    return {k: v for k, v in figures.items() if not math.isnan(v)}

  def scores(self, state: Mapping[str, Any]) -> Ranking:
    """The ranking of a model."""

    def of_users(users: np.ndarray) -> np.ndarray:
      batch = tail_batch(self._source, users, self.subject.max_length)
      wanted = {name: batch[name] for name in (*self.subject.names, "last")}
      placed = put_batch(_fill(wanted, self._size), self.subject.mesh)
      last = placed.pop("last")
      found = self._score(state["params"], state["model_state"], placed, last)
      return np.asarray(found)[: len(users)]

    return self.rank(of_users)

  def baselines(self) -> tuple[dict[str, Ranking], set[str]]:
    """The rankings of `baselines.item_counts`, fitted on train."""
    subject = self.subject
    train = read_histories(
        subject.dataset, [splits.TRAIN], subject.vocabulary, Reading()
    )
    found = {}
    for name, make in ITEM_BASELINES.items():
      model = make(train, len(subject.vocabulary))

      def score(users: np.ndarray, model: Any = model) -> np.ndarray:
        known = [known_items(self.histories.items(user)) for user in users]
        return np.asarray(model.scores(known))

      found[name] = self.rank(score)
    return found, set()

  def rank(self, score: Callable[[np.ndarray], np.ndarray]) -> Ranking:
    """Ranks by any function of rows of `histories` -> [n, num_items]."""
    ranks, tops = [], []
    for users in self._batches():
      scores = score(users)
      if self._candidates is not None:
        kept = np.full(scores.shape, -np.inf, scores.dtype)
        for row, user in enumerate(users):
          target = self._targets[user : user + 1]
          at = np.append(self._candidates[user], target[target >= 0])
          kept[row, at] = scores[row, at]
        scores = kept
      rank, top = ranking.rank_items(
          scores,
          self._targets[users],
          [self._dropped[user] for user in users],
          self.k,
      )
      ranks.append(rank)
      tops.append(top)
    return Ranking(
        users=np.array(self.histories.users, object),
        ranks=np.concatenate(ranks),
        top=np.concatenate(tops),
        counts=self.subject.vocabulary.counts,
        history=self.histories.lengths,
        k=self.k,
    )

  @property
  def _size(self) -> int:
    """Users at once, a multiple of the devices that share a batch."""
    devices = self.subject.mesh.shape["data"]
    fitting = _SCORES // len(self.subject.vocabulary)
    wanted = min(_USERS, len(self.histories), max(fitting, 1))
    return -(-wanted // devices) * devices

  def _batches(self) -> Iterator[np.ndarray]:
    number = len(self.histories)
    for begin in range(0, number, self._size):
      yield np.arange(begin, min(begin + self._size, number))


def held_out(
    subject: ItemSubject, split: str, max_users: int = 0
) -> tuple[Histories, np.ndarray]:
  """Histories before a split, and the token of the first item in it.

  Users without an item in the split are left out.
  """
  dataset = subject.dataset
  dataset.check_split(split)
  group = splits.GROUPS[splits.group_of(split)]
  before = [
      name
      for name in dict.fromkeys(group[: group.index(split)])
      if name in dataset.splits
  ]
  read = lambda names, users=None: read_histories(
      dataset, names, subject.vocabulary, subject.reading, users
  )
  later = read([split])
  least = 1 if before else 2
  chosen = np.flatnonzero(later.lengths >= least)
  if max_users:
    chosen = chosen[:max_users]
  if not len(chosen):
    raise UserError(
        f"{dataset.path}: no user of split {split!r} has"
        f" {'an item' if before else 'two items'}; there is nothing to rank."
    )
  users = [later.users[user] for user in chosen]
  if before:
    return read(before, users), later.tokens[later.offsets[chosen]]
  last = later.tokens[later.offsets[chosen + 1] - 1]
  return without_last(read([split], users)), last


def without_last(found: Histories) -> Histories:
  """The histories without each user's last event."""
  keep = np.ones(len(found.tokens), bool)
  keep[found.offsets[1:] - 1] = False
  return dataclasses.replace(
      found,
      offsets=found.offsets - np.arange(len(found.offsets)),
      tokens=found.tokens[keep],
      times=found.times[keep],
      extras={name: x[keep] for name, x in found.extras.items()},
  )


def make_item_scores(graphdef: Any) -> Any:
  """A pure function (params, model_state, batch, last) -> [batch, items].

  Products are computed in full float32, as in `token_scores`.
  """

  def score(
      params: Any,
      model_state: Any,
      batch: Mapping[str, jax.Array],
      last: jax.Array,
  ) -> jax.Array:
    with jax.default_matmul_precision("float32"):
      model = merge_model(graphdef, params, model_state)
      users = model.user_vectors(batch, last)
      return users @ model.table()[model.num_special :].T

  return score


def _fill(batch: Mapping[str, np.ndarray], size: int) -> dict[str, np.ndarray]:
  """Repeats the first row until the batch has `size`: one compiled shape."""
  return {
      name: np.concatenate([x, np.repeat(x[:1], size - len(x), 0)])
      for name, x in batch.items()
  }
