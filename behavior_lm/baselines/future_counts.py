"""Counts that predict the events of a horizon: of all users, and one's own."""

from collections.abc import Iterable

import numpy as np

# So many events of all users stand beside a user's own.
PRIOR_EVENTS = 10.0


class FutureCounts:
  """Probabilities of a next event, whenever it is, by counting.

  Args:
    counts: [vocab_size] occurrences of each token in training.
    symbols: [vocab_size] bool, the tokens that are events; others have no
      probability. One occurrence is added to each.
  """

  def __init__(self, counts: np.ndarray, symbols: np.ndarray) -> None:
    smoothed = np.where(symbols, counts + 1.0, 0.0)
    self.shares = smoothed / smoothed.sum()

  def popular(self) -> np.ndarray:
    """[vocab_size], the share of each event in training."""
    return self.shares

  def own(self, history: np.ndarray) -> np.ndarray:
    """[vocab_size], the shares of a user's own past events.

    Of PRIOR_EVENTS events more the shares are those of training, so that no
    event is impossible and a short history says little.

    Args:
      history: [n] tokens that are events.
    """
    found = np.bincount(history, minlength=len(self.shares))
    total = len(history) + PRIOR_EVENTS
    shares: np.ndarray = (found + PRIOR_EVENTS * self.shares) / total
    return shares


def count_tokens(
    sequences: Iterable[np.ndarray], vocab_size: int
) -> np.ndarray:
  """[vocab_size] int64 occurrences of each token."""
  found = np.zeros(vocab_size, np.int64)
  for tokens in sequences:
    found += np.bincount(tokens, minlength=vocab_size)
  return found


def score(
    shares: np.ndarray, future: np.ndarray, best: int
) -> tuple[float, float]:
  """How well probabilities say which events follow.

  Args:
    shares: [vocab_size] probabilities.
    future: [n] tokens of the horizon, n at least 1.
    best: how many of the most probable tokens are named.

  Returns:
    Nats per event, and the share of the events whose token is named. Of equal
    probabilities any may be named.
  """
  found = shares[future]
  top = np.argpartition(-shares, min(best, len(shares)) - 1)[:best]
  return float(-np.log(found).mean()), float(np.isin(future, top).mean())
