"""N-gram count models: the line that every neural model is judged against.

Contexts are coded exactly, one symbol at a time: the code of a context of k
symbols is the row of (code of its first k - 1 symbols, symbol k) among the
sorted distinct ones seen in training. No hash, hence no collision, and any
order and vocabulary fit 64 bits.
"""

from collections.abc import Iterable, Sequence
import dataclasses
import math

import numpy as np

UNSEEN = -1


@dataclasses.dataclass(frozen=True)
class ContextCounts:
  """What followed the contexts of one length.

  Attributes:
    context_keys: [C] int64 sorted, `parent code * num_symbols + symbol`.
    totals: [C] float64, occurrences of each context.
    types: [C] float64, distinct tokens seen in it.
    pair_keys: [P] int64 sorted, `context code * vocab_size + token`.
    pair_counts: [P] float64.
  """

  context_keys: np.ndarray
  totals: np.ndarray
  types: np.ndarray
  pair_keys: np.ndarray
  pair_counts: np.ndarray


def find(sorted_keys: np.ndarray, keys: np.ndarray) -> np.ndarray:
  """Rows of `keys` in `sorted_keys`, UNSEEN where absent; any shape."""
  if not sorted_keys.size:
    return np.full(keys.shape, UNSEEN, np.int64)
  rows = np.minimum(np.searchsorted(sorted_keys, keys), sorted_keys.size - 1)
  return np.where(sorted_keys[rows] == keys, rows, UNSEEN)


def count_tokens(
    codes: np.ndarray,
    tokens: np.ndarray,
    context_keys: np.ndarray,
    vocab_size: int,
) -> ContextCounts:
  """Counts tokens by context code, both [n]; codes are all seen ones."""
  pair_keys, pair_counts = np.unique(
      codes * vocab_size + tokens, return_counts=True
  )
  pair_contexts = pair_keys // vocab_size
  size = context_keys.size
  return ContextCounts(
      context_keys=context_keys,
      totals=np.bincount(codes, minlength=size).astype(np.float64),
      types=np.bincount(pair_contexts, minlength=size).astype(np.float64),
      pair_keys=pair_keys,
      pair_counts=pair_counts.astype(np.float64),
  )


def check_tokens(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
  """[n] as int64; ValueError unless one-dimensional and in the vocabulary."""
  tokens = np.asarray(tokens)
  if tokens.ndim != 1:
    raise ValueError(f"a sequence has one dimension, not shape {tokens.shape}")
  if tokens.size and not np.issubdtype(tokens.dtype, np.integer):
    raise ValueError(f"tokens are integers, not {tokens.dtype}")
  tokens = tokens.astype(np.int64)
  if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocab_size:
    raise ValueError(
        f"tokens span {tokens.min()}..{tokens.max()}, outside the vocabulary"
        f" 0..{vocab_size - 1}"
    )
  return tokens


def concatenate(
    sequences: Iterable[np.ndarray], vocab_size: int
) -> tuple[np.ndarray, np.ndarray]:
  """Joins sequences: tokens [n] int64 and the length of each sequence."""
  parts = [check_tokens(sequence, vocab_size) for sequence in sequences]
  lengths = np.array([part.size for part in parts], np.int64)
  return np.concatenate([np.zeros(0, np.int64), *parts]), lengths


def neighbours(
    tokens: np.ndarray, lengths: np.ndarray, offset: int, boundary: int
) -> np.ndarray:
  """The token `offset` places away, `boundary` outside the own sequence.

  Args:
    tokens: [n] sequences joined.
    lengths: lengths of the sequences; they sum to n.
    offset: below 0 for the past, above 0 for the future.
    boundary: the symbol that stands for a place outside.

  Returns:
    [n] int64.
  """
  starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
  ends = np.repeat(np.cumsum(lengths), lengths)
  place = np.arange(tokens.size) + offset
  inside = (place >= starts) & (place < ends)
  return np.where(inside, tokens[np.where(inside, place, 0)], boundary)


class NGramModel:
  """Interpolated Witten-Bell n-grams; the context restarts each sequence.

  With c(h) occurrences of a context h, T(h) distinct tokens after it and h'
  the context without its oldest symbol (Witten and Bell 1991; interpolated as
  in Chen and Goodman 1998, section 2.4):

    p(w | h) = (c(h, w) + T(h) p(w | h')) / (c(h) + T(h))

  An unseen context hands everything to h'; below the unigrams stands the
  uniform distribution over the vocabulary. Places before the first event of a
  sequence hold a symbol of their own.
  """

  def __init__(self, order: int, vocab_size: int):
    """Args: order, at least 1 (1 = unigram); vocab_size, ids in use."""
    if order < 1 or vocab_size < 1:
      raise ValueError(
          f"order and vocab_size are at least 1, not {order} and {vocab_size}"
      )
    self.order = order
    self.vocab_size = vocab_size
    self._levels: list[ContextCounts] = []

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
    return self

  def log_probs(self, sequence: np.ndarray) -> np.ndarray:
    """Natural log p(x_i | its past in this sequence), float64 [n]."""
    return self.log_probs_of([sequence])

  def log_probs_of(self, sequences: Sequence[np.ndarray]) -> np.ndarray:
    """`log_probs` of all events of all sequences joined, in one pass."""
    if not self._levels:
      raise ValueError("this n-gram model has no counts; call fit first")
    tokens, lengths = concatenate(sequences, self.vocab_size)
    probs = np.full(tokens.size, 1.0 / self.vocab_size)
    codes = np.zeros(tokens.size, np.int64)
    # Only events whose context was seen go on: a longer one was not either.
    alive = np.arange(tokens.size)
    for distance, level in enumerate(self._levels):
      if distance:
        keys = self._extend(codes, tokens, lengths, distance)
        codes[alive] = find(level.context_keys, keys[alive])
        alive = alive[codes[alive] != UNSEEN]
      code = codes[alive]
      pair = find(level.pair_keys, code * self.vocab_size + tokens[alive])
      count = np.where(pair == UNSEEN, 0.0, level.pair_counts[pair])
      total, types = level.totals[code], level.types[code]
      probs[alive] = (count + types * probs[alive]) / (total + types)
    return np.log(probs)

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
