"""How far byte-pair merges shorten a log: events a token on later days.

A measuring stick for comparing logs, not the project's tokenizer: an event
is one character, with an UNK that merges, the rest as SentencePiece trains BPE.
"""

from collections.abc import Iterable, Iterator
import io

import numpy as np
import sentencepiece

from behavior_lm.data.tokenizers.piece_model import UNITS_AS_TEXT

# Code points of symbols 0, 1, ...: 20,900 letters of one script in one block.
_FIRST_CHARACTER = 0x4E00
MAX_ALPHABET = 20_000
_LONGEST_PIECE = 64
# <unk>, which every model holds; no other special piece is asked for.
_NUM_SPECIAL = 1


def bpe_compression(
    train: Iterable[np.ndarray],
    test: Iterable[np.ndarray],
    *,
    vocab_size: int,
    alphabet_size: int,
) -> float:
  """Events a token of `test`, with merges learnt on `train`.

  Sennrich et al. 2016 (arXiv 1508.07909), on event symbols instead of
  letters. No piece crosses a line. Symbols from `alphabet_size` - 1 on are one
  and the same symbol, UNK, which merges like any other.

  Args:
    train, test: lines, int symbols from 0, the frequent ones first.
    vocab_size: pieces; fewer where nothing is left to merge.
    alphabet_size: symbols told apart, UNK among them.

  Returns:
    Events over tokens, at least 1.

  Raises:
    ValueError: if there is nothing to train or test on, or an alphabet that
      does not fit the vocabulary or the block of characters.
  """
  if not 1 < alphabet_size <= min(MAX_ALPHABET, vocab_size - _NUM_SPECIAL):
    raise ValueError(
        f"alphabet_size is {alphabet_size}; give 2 or more, at most"
        f" {MAX_ALPHABET} and less than vocab_size ({vocab_size})"
    )
  train_lines = list(_lines(train, alphabet_size))
  test_lines = list(_lines(test, alphabet_size))
  if not train_lines or not test_lines:
    raise ValueError("no events to train BPE on, or none to test it on")
  model = io.BytesIO()
  sentencepiece.SentencePieceTrainer.train(
      sentence_iterator=iter(train_lines),
      model_writer=model,
      model_type="bpe",
      vocab_size=vocab_size,
      max_sentencepiece_length=_LONGEST_PIECE,
      **UNITS_AS_TEXT,
      bos_id=-1,
      eos_id=-1,
      num_threads=1,
      minloglevel=2,
  )
  processor = sentencepiece.SentencePieceProcessor(
      model_proto=model.getvalue()
  )
  tokens = sum(len(processor.encode(line)) for line in test_lines)
  return sum(map(len, test_lines)) / tokens


def _lines(
    sequences: Iterable[np.ndarray], alphabet_size: int
) -> Iterator[str]:
  for symbols in sequences:
    if len(symbols):
      known = np.minimum(symbols, alphabet_size - 1) + _FIRST_CHARACTER
      yield known.astype("<u4").tobytes().decode("utf-32-le")
