"""What comes next by counts alone: popularity, and item after item."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from behavior_lm.data.items.histories import Histories
from behavior_lm.logs import schema


class Popularity:
  """Every user is recommended the most frequent items of training.

  Args:
    train: histories of training.
    num_items: of the vocabulary.
  """

  def __init__(self, train: Histories, num_items: int) -> None:
    self.counts = np.bincount(_items(train), minlength=num_items)

  def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
    """Items of each user, in order -> [users, num_items]."""
    return np.tile(self.counts.astype(np.float64), (len(histories), 1))


class Neighbours:
  """Items that followed, or stood around, the last items of the user.

  The score of item j is the sum over the user's last items i, the newest with
  weight 1 and each older one `decay` times that, of count(i, j) / (count(i) +
  smoothing); a hundred-thousandth of j's popularity breaks ties and serves
  users without a history.

  Args:
    train: histories of training.
    num_items: of the vocabulary.
    reach: j counts up to so many places behind i.
    both: also before it.
    last: items of the user that are looked at.
    decay: see above.
    smoothing: see above.
  """

  def __init__(
      self,
      train: Histories,
      num_items: int,
      *,
      reach: int,
      both: bool = False,
      last: int = 1,
      decay: float = 0.8,
      smoothing: float = 10.0,
  ) -> None:
    tokens = train.tokens.astype(np.int64) - schema.NUM_SPECIAL
    user = np.repeat(np.arange(len(train)), train.lengths)
    shape = (num_items, num_items)
    pairs = sparse.csr_array(shape, dtype=np.float64)
    for step in range(1, reach + 1):
      first, second = tokens[:-step], tokens[step:]
      kept = (user[:-step] == user[step:]) & (first >= 0) & (second >= 0)
      at = (first[kept], second[kept])
      ones = np.full(kept.sum(), 1.0 / step)
      pairs = pairs + sparse.coo_array((ones, at), shape=shape).tocsr()
    if both:
      pairs = pairs + pairs.T
    counts = np.bincount(_items(train), minlength=num_items)
    scale = sparse.diags_array(1.0 / (counts + smoothing))
    self.next = (scale @ pairs).tocsr()
    self.popularity = counts / max(counts.sum(), 1)
    self.last, self.decay = last, decay

  def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
    """Items of each user, in order -> [users, num_items]."""
    rows, items, weights = [], [], []
    for row, history in enumerate(histories):
      newest = history[::-1][: self.last]
      rows += [row] * len(newest)
      items += newest.tolist()
      weights += (self.decay ** np.arange(len(newest))).tolist()
    shape = (len(histories), len(self.popularity))
    users = sparse.coo_array((weights, (rows, items)), shape=shape).tocsr()
    return (users @ self.next).toarray() + 1e-5 * self.popularity


def markov(train: Histories, num_items: int) -> Neighbours:
  """What followed the last item, in training."""
  return Neighbours(train, num_items, reach=1)


def co_occurrence(train: Histories, num_items: int) -> Neighbours:
  """What stood near the last items, in training."""
  return Neighbours(train, num_items, reach=5, both=True, last=20)


ITEM_BASELINES = {
    "popularity": Popularity,
    "item after item": markov,
    "items near items": co_occurrence,
}


def _items(train: Histories) -> np.ndarray:
  tokens = train.tokens
  return tokens[tokens >= schema.NUM_SPECIAL] - schema.NUM_SPECIAL
