"""BPE compression of lines whose merges are known."""

import numpy as np
import pytest

from experiments.studies.tokenizers.bpe_statistics import bpe_compression
from experiments.studies.tokenizers.bpe_statistics import MAX_ALPHABET


def test_a_chain_that_always_repeats_becomes_one_token_a_piece():
  # 0 1 2 3 0 1 2 3 ...: with room for the pairs and the quadruple, a token
  # holds four events or more.
  line = np.tile(np.arange(4), 30)
  small = bpe_compression([line], [line], vocab_size=8, alphabet_size=5)
  assert small == pytest.approx(4.0)
  large = bpe_compression([line], [line], vocab_size=40, alphabet_size=5)
  assert large > 10


def test_events_without_order_stay_alone():
  rng = np.random.default_rng(0)
  train, test = rng.integers(0, 500, (2, 40, 500))
  got = bpe_compression(train, test, vocab_size=520, alphabet_size=501)
  assert 1.0 <= got < 1.02


def test_no_piece_crosses_a_line():
  lines = [np.array([0, 1])] * 50
  got = bpe_compression(lines, lines, vocab_size=30, alphabet_size=3)
  assert got == 2.0


def test_rare_symbols_are_one_symbol():
  # Symbols 2, 3, ... are UNK: to BPE the lines are 0 2 0 2 ...
  line = np.where(np.arange(200) % 2, 2 + np.arange(200) % 7, 0)
  plain = np.where(np.arange(200) % 2, 2, 0)
  got = bpe_compression([line], [line], vocab_size=20, alphabet_size=3)
  want = bpe_compression([plain], [plain], vocab_size=20, alphabet_size=3)
  assert got == want > 5


def test_a_long_line_is_not_dropped():
  # Far beyond SentencePiece's own limit of 4,192 bytes.
  line = np.tile(np.arange(3), 20_000)
  got = bpe_compression([line], [line], vocab_size=7, alphabet_size=4)
  assert got > 2.9


@pytest.mark.parametrize("size", [1, 8, MAX_ALPHABET + 1])
def test_an_alphabet_that_does_not_fit_is_refused(size):
  with pytest.raises(ValueError, match=f"alphabet_size is {size}; give 2"):
    bpe_compression(
        [np.zeros(3, int)], [np.zeros(3, int)], vocab_size=8, alphabet_size=size
    )


def test_no_events_are_refused():
  with pytest.raises(ValueError, match="no events to train BPE on, or none"):
    bpe_compression(
        [np.zeros(3, int)], [np.zeros(0, int)], vocab_size=8, alphabet_size=4
    )
