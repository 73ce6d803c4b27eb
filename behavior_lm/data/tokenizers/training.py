"""Trains a tokenizer on the training split of a dataset."""

from collections.abc import Iterator

from grain.experimental import index_shuffle
import numpy as np

from behavior_lm.common.errors import UserError
from behavior_lm.data.sessions import SessionRule
from behavior_lm.data.tokenizers import TOKENIZERS
from behavior_lm.data.tokenizers.base import run_starts
from behavior_lm.data.tokenizers.base import Settings
from behavior_lm.data.tokenizers.base import Tokenizer
from behavior_lm.data.tokenizers.bpe import BpeTokenizer
from behavior_lm.data.tokenizers.bpe import Sequence
from behavior_lm.data.tokenizers.pair import PairTokenizer
from behavior_lm.logs.dataset import Dataset
from behavior_lm.logs.gap_mixture import fit_mixture

# More text does not change what the frequent chains are, and SentencePiece
# keeps all of it in memory, some 50 bytes an event.
MAX_TRAIN_EVENTS = 50_000_000
_GAP_EVENTS = 5_000_000
MAX_RUN = 64


def train_tokenizer(
    dataset: Dataset,
    kind: str = "pair",
    *,
    vocab_size: int,
    alphabet_size: int = 7_000,
    max_piece_events: int = 64,
    segmentation: str = "merges",
    sessions: str = "none",
    sep_tokens: bool = False,
    collapse_repeats: bool = False,
    max_train_events: int = MAX_TRAIN_EVENTS,
    seed: int = 0,
) -> Tokenizer:
  """Trains on the training split alone.

  Args:
    dataset: prepared logs.
    kind: "pair" or "bpe".
    vocab_size: ids at most.
    alphabet_size, max_piece_events, segmentation: of "bpe", see there.
    sessions: see `read_rule`.
    sep_tokens, collapse_repeats: see `Settings`.
    max_train_events: "bpe" learns from so many events at most; more are
      sampled by whole sequences.
    seed: of the sample.

  Raises:
    UserError: for values that do not fit.
  """
  if kind not in TOKENIZERS:
    raise UserError(
        f"tokenizer kind {kind!r}; known are {sorted(TOKENIZERS)}."
    )
  rule = read_rule(sessions, dataset)
  runs = count_runs(dataset, rule) if collapse_repeats else ()
  settings = Settings(rule, sep_tokens, collapse_repeats, runs)
  if kind == "pair":
    return PairTokenizer.train(dataset.pairs, vocab_size, settings)
  return BpeTokenizer.train(
      dataset.pairs,
      sample_sequences(dataset, max_train_events, seed),
      vocab_size=vocab_size,
      alphabet_size=alphabet_size,
      max_piece_events=max_piece_events,
      segmentation=segmentation,
      settings=settings,
  )


def read_rule(text: str, dataset: Dataset) -> SessionRule:
  """How sessions are split, from a text.

  Args:
    text: "none"; a number of seconds, "1800"; a quantile of a sequence's own
      gaps, "q0.98"; or "learned" from the gaps of the training split.
    dataset: for "learned".

  Raises:
    UserError: if the text is none of these, or nothing can be learned.
  """
  if text == "none":
    return SessionRule()
  if text == "learned":
    seconds = fit_mixture(*count_gaps(dataset)).threshold_seconds
    return SessionRule("learned", seconds=seconds)
  try:
    if text.startswith("q"):
      return SessionRule("user_quantile", quantile=float(text[1:]))
    return SessionRule("fixed", seconds=float(text))
  except ValueError as error:
    raise UserError(
        f"sessions {text!r}: {error}. Give 'none', seconds such as 1800, a"
        " quantile such as q0.98, or 'learned'."
    ) from error


def sample_sequences(
    dataset: Dataset, max_events: int, seed: int, split: str = "train"
) -> Iterator[Sequence]:
  """Sequences of a split in a seeded order, until there are enough events."""
  source = dataset.source(split)
  left = max_events
  for place in range(len(source)):
    if len(source) > 1:
      place = index_shuffle(
          place, max_index=len(source) - 1, seed=seed & 0xFFFFFFFF, rounds=4
      )
    example = source[place]
    yield example["pair"], example["timestamp"]
    left -= len(example["pair"])
    if left <= 0:
      return


def count_runs(dataset: Dataset, rule: SessionRule) -> tuple[int, ...]:
  """How often runs of equal events are 1, 2, ... `MAX_RUN` or more long."""
  counts = np.zeros(MAX_RUN + 1, np.int64)
  for pair, timestamps in sample_sequences(dataset, _GAP_EVENTS, seed=0):
    first = np.flatnonzero(run_starts(pair, rule.starts(timestamps)))
    lengths = np.minimum(np.diff(first, append=len(pair)), MAX_RUN)
    counts += np.bincount(lengths, minlength=MAX_RUN + 1)
  return tuple(counts[1:].tolist())


def count_gaps(
    dataset: Dataset, max_events: int = _GAP_EVENTS
) -> tuple[np.ndarray, np.ndarray]:
  """Distinct gaps inside training sequences, microseconds, and their counts."""
  found = [
      np.diff(timestamps)
      for _, timestamps in sample_sequences(dataset, max_events, seed=0)
  ]
  gaps = np.concatenate([np.zeros(0, np.int64), *found])
  return np.unique(gaps, return_counts=True)
