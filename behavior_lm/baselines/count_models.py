"""N-gram count models: the line that every neural model is judged against.

Contexts are coded exactly, one symbol at a time: the code of a context of k
symbols is the row of (code of its first k - 1 symbols, symbol k) among the
sorted distinct ones seen in training. No hash, hence no collision, and any
order and vocabulary fit 64 bits.
"""

from collections.abc import Iterable
import dataclasses

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
