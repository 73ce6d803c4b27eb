"""Interpolated n-grams of all orders from one count of the training events."""

from collections.abc import Iterable, Sequence
import dataclasses
import math

import numpy as np

from behavior_lm.baselines.count_models import concatenate
from behavior_lm.baselines.count_models import ContextCounts
from behavior_lm.baselines.count_models import count_tokens
from behavior_lm.baselines.count_models import find
from behavior_lm.baselines.count_models import neighbours
from behavior_lm.baselines.count_models import UNSEEN

SMOOTHINGS = ("witten_bell", "kneser_ney")
# Discounts of counts 1, 2 and more, where too few counts are there to
# estimate them.
_DISCOUNTS = (0.5, 0.75, 0.75)
# Without any discount a token that was never seen would be impossible.
_LEAST_DISCOUNT = 0.1


@dataclasses.dataclass(frozen=True)
class Smoothed:
  """Counts of one context length as a formula uses them.

  Attributes:
    numerator: [P] discounted counts of the pairs of `ContextCounts`.
    mass: [C] what a context hands to the shorter one.
    total: [C] the denominator; numerators and mass sum to it.
  """

  numerator: np.ndarray
  mass: np.ndarray
  total: np.ndarray

  def probs(
      self, pair: np.ndarray, code: np.ndarray, lower: np.ndarray
  ) -> np.ndarray:
    """[n] from pairs (or UNSEEN), contexts and the shorter model's, [n]."""
    seen = np.where(pair == UNSEEN, 0.0, self.numerator[pair])
    return (seen + self.mass[code] * lower) / self.total[code]


class NGramModel:
  """Interpolated n-grams; the context restarts with each sequence.

  With c(h) occurrences of a context h, T(h) distinct tokens after it and h'
  the context without its oldest symbol:

  witten_bell (Witten and Bell 1991; interpolated as in Chen and Goodman 1998,
  section 2.4):

    p(w | h) = (c(h, w) + T(h) p(w | h')) / (c(h) + T(h))

  kneser_ney (modified and interpolated, Chen and Goodman 1998, section 3):

    p(w | h) = (c(h, w) - D(c(h, w)) + M(h) p'(w | h')) / c(h)

  where D is a discount for counts of 1, 2 and more, M(h) the sum of the
  discounts, and p' the same formula over the number of distinct symbols in
  front of (h, w) instead of its count. A context at the beginning of a
  sequence has nothing in front of it and keeps its counts.

  An unseen context hands everything to h'; below the unigrams stands the
  uniform distribution over the vocabulary. Places before the first event of a
  sequence hold a symbol of their own.

  Args:
    order: of the longest n-grams, at least 1 (1 is the unigram).
    vocab_size: ids in use.
    smoothing: one of `SMOOTHINGS`.

  Raises:
    ValueError: for a value that makes no sense.
  """

  def __init__(
      self, order: int, vocab_size: int, smoothing: str = "witten_bell"
  ):
    if order < 1 or vocab_size < 1:
      raise ValueError(
          f"order and vocab_size are at least 1, not {order} and {vocab_size}"
      )
    if smoothing not in SMOOTHINGS:
      raise ValueError(f"smoothing {smoothing!r}; known are {SMOOTHINGS}")
    self.order = order
    self.vocab_size = vocab_size
    self.smoothing = smoothing
    self._levels: list[ContextCounts] = []
    # As the longest context of a model, and as a shorter one of another.
    self._highest: list[Smoothed] = []
    self._lower: list[Smoothed] = []

  def fit(self, sequences: Iterable[np.ndarray]) -> "NGramModel":
    """Counts int sequences with values in [0, vocab_size); replaces counts.

    Raises:
      ValueError: for a token outside the vocabulary, or no event at all.
    """
    tokens, lengths = concatenate(sequences, self.vocab_size)
    if not tokens.size:
      raise ValueError("cannot fit an n-gram model on no events")
    codes = np.zeros(tokens.size, np.int64)
    levels = [
        count_tokens(codes, tokens, np.zeros(1, np.int64), self.vocab_size)
    ]
    for distance in range(1, self.order):
      keys = self._extend(codes, tokens, lengths, distance)
      context_keys, codes = np.unique(keys, return_inverse=True)
      levels.append(
          count_tokens(codes, tokens, context_keys, self.vocab_size)
      )
    self._levels = levels
    if self.smoothing == "witten_bell":
      self._highest = self._lower = [witten_bell(level) for level in levels]
      return self
    self._highest = [
        _kneser_ney(level, level.pair_counts, self.vocab_size)
        for level in levels
    ]
    self._lower = [
        _kneser_ney(
            level, self._continuations(level, longer), self.vocab_size
        )
        for level, longer in zip(levels[:-1], levels[1:], strict=True)
    ]
    return self

  def log_probs(self, sequence: np.ndarray) -> np.ndarray:
    """Natural log p(x_i | its past in this sequence), float64 [n]."""
    return self.log_probs_of([sequence])

  def log_probs_of(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
    """`log_probs` of all events of all sequences joined, in one pass."""
    return self.log_probs_of_orders(sequences)[-1]

  def log_probs_of_orders(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
    """Natural logs of the models of every order.

    Args:
      sequences: of tokens, n in all.

    Returns:
      [order, n] float64; row k is the model whose longest context has k
      symbols.
    """
    if not self._levels:
      raise ValueError("this n-gram model has no counts; call fit first")
    tokens, _ = concatenate(sequences, self.vocab_size)
    out = np.empty((self.order, tokens.size))
    lower = np.full(tokens.size, 1.0 / self.vocab_size)
    codes = self.contexts(sequences)
    for distance, level in enumerate(self._levels):
      alive = np.flatnonzero(codes[distance] != UNSEEN)
      # An unseen context hands everything to the shorter one, as that is below
      # this one.
      out[distance] = lower
      code = codes[distance, alive]
      pair = find(level.pair_keys, code * self.vocab_size + tokens[alive])
      out[distance, alive] = self._highest[distance].probs(
          pair, code, lower[alive]
      )
      if distance < self.order - 1:
        lower[alive] = self._lower[distance].probs(pair, code, lower[alive])
    return np.log(out)

  def contexts(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
    """[order, n] int64 codes of the contexts of each event, UNSEEN if new."""
    tokens, lengths = concatenate(sequences, self.vocab_size)
    codes = np.full((self.order, tokens.size), UNSEEN, np.int64)
    codes[0] = 0
    # Only events whose context was seen go on: a longer one was not either.
    alive = np.arange(tokens.size)
    for distance in range(1, self.order):
      keys = self._extend(codes[distance - 1], tokens, lengths, distance)
      found = find(self._levels[distance].context_keys, keys[alive])
      codes[distance, alive] = found
      alive = alive[found != UNSEEN]
    return codes

  def perplexity(self, sequences: Sequence[np.ndarray]) -> float:
    """exp of minus the mean log probability over all events."""
    log_probs = self.log_probs_of(sequences)
    if not log_probs.size:
      raise ValueError("perplexity of no events is undefined")
    return math.exp(-float(log_probs.mean()))

  def _extend(
      self,
      codes: np.ndarray,
      tokens: np.ndarray,
      lengths: np.ndarray,
      distance: int,
  ) -> np.ndarray:
    older = neighbours(tokens, lengths, -distance, boundary=self.vocab_size)
    return codes * (self.vocab_size + 1) + older

  def _continuations(
      self, level: ContextCounts, longer: ContextCounts
  ) -> np.ndarray:
    """[P] distinct symbols in front of each pair of a level.

    The symbol in front of a sequence is no symbol: such pairs keep the count
    of their sequences' beginnings.
    """
    contexts, tokens = np.divmod(longer.pair_keys, self.vocab_size)
    parents, oldest = np.divmod(
        longer.context_keys[contexts], self.vocab_size + 1
    )
    pairs = find(level.pair_keys, parents * self.vocab_size + tokens)
    is_beginning = oldest == self.vocab_size
    weights = np.where(is_beginning, longer.pair_counts, 1.0)
    return np.bincount(pairs, weights, minlength=level.pair_keys.size)


def witten_bell(level: ContextCounts) -> Smoothed:
  """Every distinct token of a context counts once for the shorter one."""
  return Smoothed(level.pair_counts, level.types, level.totals + level.types)


def _kneser_ney(
    level: ContextCounts, counts: np.ndarray, vocab_size: int
) -> Smoothed:
  """Modified Kneser-Ney over counts [P], which may be those of types."""
  contexts = level.pair_keys // vocab_size
  size = level.context_keys.size
  # Discounts by count: Chen and Goodman 1998, equation 26.
  n1, n2, n3, n4 = ((counts == k).sum() for k in (1, 2, 3, 4))
  discounts = np.asarray(_DISCOUNTS)
  if n1 and n2 and n3:
    y = n1 / (n1 + 2 * n2)
    found = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    discounts = np.clip(found, _LEAST_DISCOUNT, (1.0, 2.0, 3.0))
  discount = discounts[np.minimum(counts, 3).astype(np.int64) - 1]
  sums = lambda values: np.bincount(contexts, values, minlength=size)
  return Smoothed(counts - discount, sums(discount), sums(counts))
