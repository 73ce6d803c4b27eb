"""N-grams that read the time before the last event, as causal models do."""

from collections.abc import Sequence

import numpy as np

from behavior_lm.baselines.count_models import concatenate
from behavior_lm.baselines.count_models import ContextCounts
from behavior_lm.baselines.count_models import count_tokens
from behavior_lm.baselines.count_models import find
from behavior_lm.baselines.count_models import neighbours
from behavior_lm.baselines.count_models import UNSEEN
from behavior_lm.baselines.ngrams import NGramModel
from behavior_lm.baselines.ngrams import witten_bell

# Buckets of a gap: unknown, none, then one per doubling of 100 ms up to 2**31.
NUM_BUCKETS = 34


def gap_buckets(gaps: np.ndarray) -> np.ndarray:
  """[n] int32 gaps in 100 ms, below 0 if unknown -> [n] int64 buckets."""
  known = np.maximum(gaps, 0).astype(np.float64)
  doublings = np.floor(np.log2(np.maximum(known, 1))).astype(np.int64)
  return np.where(gaps < 0, 0, np.where(gaps == 0, 1, 2 + doublings))


class GapNGrams:
  """p(w | g, h): an n-gram model whose context also has the gap g.

  g is the bucket of the time between the last two events of the context h; the
  first event of a sequence has none. With c(g, h) occurrences and T(g, h)
  distinct tokens after them,

    p(w | g, h) = (c(g, h, w) + T(g, h) p(w | h)) / (c(g, h) + T(g, h))

  over the probabilities p(w | h) of the model (Witten and Bell 1991).

  Args:
    model: fitted.
  """

  def __init__(self, model: NGramModel) -> None:
    self.model = model
    self._levels: list[ContextCounts] = []

  def fit(
      self, sequences: Sequence[np.ndarray], gaps: Sequence[np.ndarray]
  ) -> "GapNGrams":
    """Counts the sequences that the model has counted.

    Args:
      sequences: of tokens, [n] each.
      gaps: [n] each, time since the previous event in 100 ms.
    """
    tokens, keys = self._keys(sequences, gaps)
    self._levels = []
    for row in keys:
      context_keys, codes = np.unique(row, return_inverse=True)
      self._levels.append(
          count_tokens(codes, tokens, context_keys, self.model.vocab_size)
      )
    return self

  def log_probs_of_orders(
      self,
      sequences: Sequence[np.ndarray],
      gaps: Sequence[np.ndarray],
      plain: np.ndarray,
  ) -> np.ndarray:
    """Natural logs of the models of every order.

    Args:
      sequences: of tokens, n in all.
      gaps: [length] of each sequence, as in `fit`.
      plain: [order, n] what the model's `log_probs_of_orders` gives for them.

    Returns:
      [order, n] float64.
    """
    if not self._levels:
      raise ValueError("this model has no counts of gaps; call fit first")
    tokens, keys = self._keys(sequences, gaps)
    out = plain.copy()
    for row, level, log_probs in zip(keys, self._levels, out, strict=True):
      code = find(level.context_keys, row)
      seen = code != UNSEEN
      pairs = code[seen] * self.model.vocab_size + tokens[seen]
      log_probs[seen] = np.log(
          witten_bell(level).probs(
              find(level.pair_keys, pairs),
              code[seen],
              np.exp(log_probs[seen]),
          )
      )
    return out

  def _keys(
      self, sequences: Sequence[np.ndarray], gaps: Sequence[np.ndarray]
  ) -> tuple[np.ndarray, np.ndarray]:
    """[n] tokens, and [order, n] codes of their contexts with the gap."""
    tokens, lengths = concatenate(sequences, self.model.vocab_size)
    buckets = gap_buckets(np.concatenate([np.zeros(0, np.int64), *gaps]))
    if buckets.size != tokens.size:
      raise ValueError(f"{tokens.size} tokens but {buckets.size} gaps")
    before = neighbours(buckets, lengths, -1, boundary=0)
    codes = self.model.contexts(sequences)
    return tokens, np.where(
        codes == UNSEEN, UNSEEN, codes * NUM_BUCKETS + before
    )
