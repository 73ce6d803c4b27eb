"""Items for users: vectors of both, and the items whose products are highest.

  recall = Recall.load("runs/items", best=True)
  recall.recommend(["17", "4", "9"], 10)     # [(item, score), ...]

Scores are inner products. Two ways find the highest: `top_on_device` (jax, all
products) and a `stores.faiss_index.VectorIndex` in `top_by_index`. Both fetch
some more than is asked for, and `_rerank` computes the scores of what they
found in float64 on the host, so that the order of near ties does not depend on
who found them.
"""

from collections.abc import Iterator, Sequence
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data.items.histories import ACTION
from behavior_lm.data.items.histories import Histories
from behavior_lm.data.items.histories import ItemSource
from behavior_lm.data.items.histories import known_items
from behavior_lm.data.items.histories import tail_batch
from behavior_lm.data.reading import Reading
from behavior_lm.inference.stores.faiss_index import VectorIndex
from behavior_lm.logs import schema
from behavior_lm.recipes.item_run import ItemRun
from behavior_lm.recipes.item_run import load_item_run
from behavior_lm.training.state import merge_model

_USERS = 256
# Fetched beyond k: near ties that two ways of adding order differently.
_SLACK = 8
# Products of a batch that exist at once.
_PRODUCTS = 2**26

Top = tuple[np.ndarray, np.ndarray]


class Recall:
  """A trained retrieval run that recommends.

  Args:
    run: of `recipes.item_run.load_item_run`.
  """

  def __init__(self, run: ItemRun) -> None:
    self.run = run
    self.vocabulary = run.vocabulary
    self.reading = Reading.of(run.config.data)
    self.max_length = run.config.data.max_length
    model = merge_model(run.graphdef, run.params, run.model_state)
    self._names = model.encoder.config.fields
    self.item_vectors = np.asarray(
        model.table()[schema.NUM_SPECIAL :], np.float32
    )

    def encode(params: Any, model_state: Any, batch: Any, last: Any) -> Any:
      with jax.default_matmul_precision("float32"):
        model = merge_model(run.graphdef, params, model_state)
        return model.user_vectors(batch, last)

    self._encode = jax.jit(encode)

  @classmethod
  def load(
      cls, folder: str | Path, step: int | None = None, *, best: bool = False
  ) -> "Recall":
    """From a run folder; see `load_item_run`."""
    return cls(load_item_run(folder, step, best=best))

  def user_vectors(self, histories: Histories) -> np.ndarray:
    """[users, embed_dim] float32; a user without events has that of CLS."""
    source = ItemSource(histories, self.reading)
    run, found = self.run, []
    size = min(_USERS, max(len(histories), 1))
    for users in _blocks(len(histories), size):
      # The last block repeats its first user: one shape is compiled.
      filled = np.concatenate([users, np.repeat(users[:1], size - len(users))])
      batch = tail_batch(source, filled, self.max_length)
      inputs = {name: batch[name] for name in self._names}
      vectors = self._encode(
          run.params, run.model_state, inputs, batch["last"]
      )
      found.append(np.asarray(vectors)[: len(users)])
    if not found:
      return np.zeros((0, self.item_vectors.shape[1]), np.float32)
    return np.concatenate(found)

  def recommend(
      self,
      items: Sequence[str],
      k: int = 10,
      *,
      times: Sequence[int] | None = None,
      actions: Sequence[str] | None = None,
      drop_seen: bool = True,
  ) -> list[tuple[str, float]]:
    """The items of one user that are most likely next.

    Args:
      items: raw ids of the user's history, the oldest first; unknown ones are
        read as such, and an empty history gives what new users do first.
      k: how many.
      times: microseconds UTC of each event, for a model that reads time.
      actions: raw event id of each event, for a model that reads actions.
      drop_seen: leave the items of the history out.

    Returns:
      (raw id, score), the best first; fewer than k if no more are left.

    Raises:
      UserError: if the model reads what is not given.
    """
    histories = self._one_user(items, times, actions)
    seen = [known_items(histories.items(0)) if drop_seen else np.zeros(0, int)]
    scores, rows = self.top_on_device(self.user_vectors(histories), seen, k)
    ids = self.vocabulary.ids
    return [
        (ids[row], float(score))
        for row, score in zip(rows[0], scores[0], strict=True)
        if row >= 0
    ]

  def top_on_device(
      self, users: np.ndarray, seen: Sequence[np.ndarray], k: int
  ) -> Top:
    """The k best unseen items of each user, by all products on the device.

    Args:
      users: [n, embed_dim].
      seen: items of each user that are left out, rows of `item_vectors`.
      k: how many.

    Returns:
      Scores [n, k] float32, descending, and rows of `item_vectors` [n, k]
      int64; equal scores are ordered by row; -inf and -1 where there are no
      more.
    """
    _check(users, seen, k)
    number = len(self.item_vectors)
    fetch = min(number, k + _SLACK)
    items = jnp.asarray(self.item_vectors)
    tops = []
    size = max(1, min(_USERS, _PRODUCTS // number))
    for block in _blocks(len(users), size):
      width = max((len(seen[user]) for user in block), default=0)
      # Few shapes are compiled: powers of two.
      hidden = np.full((size, 1 << max(width - 1, 0).bit_length()), number)
      queries = np.zeros((size, users.shape[1]), np.float32)
      queries[: len(block)] = users[block]
      for row, user in enumerate(block):
        hidden[row, : len(seen[user])] = seen[user]
      rows = np.asarray(_top(queries, items, hidden, fetch))[: len(block)]
      tops.append(_rerank(users[block], self.item_vectors, rows, k))
    return _join(tops, k)

  def top_by_index(
      self,
      index: VectorIndex,
      users: np.ndarray,
      seen: Sequence[np.ndarray],
      k: int,
  ) -> Top:
    """Like `top_on_device`, by an index with the rows of `item_vectors`."""
    _check(users, seen, k)
    fetch = min(len(self.item_vectors), k + _SLACK)
    _, rows = index.search_unseen(users, fetch, seen)
    return _rerank(users, self.item_vectors, rows, k)

  def _one_user(
      self,
      items: Sequence[str],
      times: Sequence[int] | None,
      actions: Sequence[str] | None,
  ) -> Histories:
    config = self.run.config
    reads_time = config.model.time_encoding != "none" or self.reading.computed
    for name, wanted, given in (
        ("times", reads_time, times),
        ("actions", ACTION in self.reading.extras, actions),
    ):
      if wanted and given is None:
        raise UserError(f"this model reads {name}: give {name}=...")
      if given is not None and len(given) != len(items):
        raise UserError(f"{len(items)} items but {len(given)} {name}.")
    others = [name for name in self.reading.extras if name != ACTION]
    if others:
      raise UserError(
          f"this model reads {', '.join(others)}; recommend users of a dataset"
          " with experiments/recall.py."
      )
    extras = {}
    if ACTION in self.reading.extras:
      extras[ACTION] = self.vocabulary.action_codes(actions or ())
    return Histories(
        [""],
        np.array([0, len(items)]),
        self.vocabulary.tokens(items),
        np.asarray(
            times if times is not None else np.arange(len(items)), np.int64
        ),
        extras,
    )


@functools.partial(jax.jit, static_argnums=3)
def _top(
    queries: jax.Array, items: jax.Array, hidden: jax.Array, k: int
) -> jax.Array:
  with jax.default_matmul_precision("float32"):
    scores = queries @ items.T
  rows = jnp.arange(len(queries))[:, None]
  scores = scores.at[rows, hidden].set(-jnp.inf, mode="drop")
  values, found = jax.lax.top_k(scores, k)
  return jnp.where(jnp.isfinite(values), found, -1)


def _rerank(
    users: np.ndarray, items: np.ndarray, rows: np.ndarray, k: int
) -> Top:
  """The k best of the rows found [n, m], by products in float64."""
  scores = np.einsum(
      "qd,qkd->qk", users.astype(np.float64), items[rows].astype(np.float64)
  )
  scores = np.where(rows >= 0, scores, -np.inf)
  order = np.lexsort((rows, -scores), axis=-1)[:, :k]
  scores = np.take_along_axis(scores, order, 1)
  rows = np.take_along_axis(rows, order, 1)
  pad = ((0, 0), (0, k - rows.shape[1]))
  return (
      np.pad(scores, pad, constant_values=-np.inf).astype(np.float32),
      np.pad(rows, pad, constant_values=-1).astype(np.int64),
  )


def seen_items(histories: Histories) -> list[np.ndarray]:
  """Rows of `Recall.item_vectors` that each user has seen, ascending."""
  return [
      np.unique(known_items(histories.items(user)))
      for user in range(len(histories))
  ]


def _check(users: np.ndarray, seen: Sequence[np.ndarray], k: int) -> None:
  if k < 1:
    raise UserError(f"k is {k}; ask for at least 1 item.")
  if len(users) != len(seen):
    raise UserError(f"{len(users)} users but {len(seen)} lists of seen items.")


def _blocks(number: int, size: int) -> Iterator[np.ndarray]:
  for begin in range(0, number, size):
    yield np.arange(begin, min(begin + size, number))


def _join(tops: Sequence[Top], k: int) -> Top:
  if not tops:
    return np.zeros((0, k), np.float32), np.zeros((0, k), np.int64)
  scores, rows = zip(*tops, strict=True)
  return np.concatenate(scores), np.concatenate(rows)
