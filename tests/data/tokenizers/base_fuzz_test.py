"""Damage of tokenizer folders: the same tokens as before, or one message."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.sessions import SessionRule
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.data.tokenizers.base import Settings
from behavior_lm.data.tokenizers.bpe import BpeTokenizer
from behavior_lm.data.tokenizers.pair import PairTokenizer
from tests.damage import damaged
from tests.damage import damages
from tests.damage import fuzz

_PAIRS = [("login", "0"), ("fight", "1"), ("fight", "2"), ("shop", "0")]
_EVENTS = ["login", "fight", "fight", "shop", "quit", "fight"] * 2
_DESIGNS = ["0", "1", "9", "0", "0", "2"] * 2
_TIMES = np.arange(12) * 100_000_000
_SETTINGS = Settings(SessionRule("fixed", seconds=150.0), collapse_repeats=True)


def _bpe():
  events, designs = zip(*_PAIRS, strict=True)
  table = pl.DataFrame({
      "event_id": events, "design_id": designs, "train_count": [9, 8, 7, 6]
  })  # fmt: skip
  sequence = (np.tile(np.arange(4), 30), np.arange(120) * 1_000_000)
  return BpeTokenizer.train(
      table, [sequence], vocab_size=30, alphabet_size=8, settings=_SETTINGS
  )


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
  """{kind: its folder and what it makes of the events above}."""
  found = {}
  pair = PairTokenizer(["login", "fight"], _PAIRS, _SETTINGS)
  for tokenizer in (pair, _bpe()):
    folder = tmp_path_factory.mktemp(tokenizer.kind)
    tokenizer.save(folder)
    found[tokenizer.kind] = folder, tokens(tokenizer)
  return found


def tokens(tokenizer):
  found = tokenizer.encode(_EVENTS, _DESIGNS, _TIMES).tokens
  return [part.tolist() for part in (found.ids, found.num_events)]


@pytest.mark.slow
@fuzz(150)
@given(kind=st.sampled_from(["pair", "bpe"]), harm=damages())
def test_a_damaged_tokenizer_reads_as_before_or_is_refused(folders, kind, harm):
  folder, want = folders[kind]
  with damaged(folder, harm) as (copy, touched):
    try:
      tokenizer = load_tokenizer(copy)
    except UserError as error:
      assert touched and str(copy) in str(error)
      return
    assert tokens(tokenizer) == want
