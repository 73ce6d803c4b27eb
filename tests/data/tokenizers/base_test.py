from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.sessions import SessionRule
from behavior_lm.data.tokenizers.base import run_length_bits
from behavior_lm.data.tokenizers.base import run_starts
from behavior_lm.data.tokenizers.base import Settings
from behavior_lm.data.tokenizers.pair import PairTokenizer

SECOND = 1_000_000
RULE = SessionRule("fixed", seconds=5.0)


def test_a_run_ends_at_another_unit_a_session_and_at_unknown_events():
  units = np.asarray([1, 1, 1, 2, -1, -1, 2])
  starts = np.asarray([True, False, True, False, False, False, False])
  want = [True, False, True, True, True, True, True]
  assert run_starts(units, starts).tolist() == want


@given(st.lists(st.integers(0, 50), min_size=1, max_size=80))
def test_code_lengths_of_runs_are_those_of_a_code(counts):
  # Kraft: a code exists whose words are so long (gamma is complete too).
  bits = run_length_bits(counts, np.arange(1, 2**16))
  total = (2.0**-bits).sum()
  assert total <= 1 + 1e-9
  assert total > 0.9


def test_frequent_run_lengths_are_cheap():
  bits = run_length_bits((98, 0), np.asarray([1, 2, 3]))
  assert bits[0] == pytest.approx(-np.log2(99 / 100))
  # Two or longer: 1 of 100, then one bit says "no more than that".
  assert bits[1] == pytest.approx(np.log2(100) + 1)
  assert bits[2] == pytest.approx(np.log2(100) + 3)


def test_repeats_are_charged_on_the_first_event_of_a_run():
  settings = Settings(RULE, collapse_repeats=True, run_lengths=(6, 1, 1))
  tokenizer = PairTokenizer([], [("a", "0"), ("b", "0")], settings)
  units = np.asarray([0, 0, 1, -1])
  bits = tokenizer.repeat_bits(units, np.arange(4) * SECOND)
  assert bits[[1, 3]].tolist() == [0, 0]
  assert bits[0] == pytest.approx(np.log2(11 / 2))
  assert bits[2] == pytest.approx(np.log2(11 / 7))
  plain = PairTokenizer([], [("a", "0")])
  assert not plain.repeat_bits(units, np.arange(4)).any()


def test_pair_tokens_of_a_collapsed_run_span_it():
  settings = Settings(RULE, sep_tokens=True, collapse_repeats=True)
  tokenizer = PairTokenizer([], [("a", "0"), ("b", "0")], settings)
  times = np.asarray([0, 1, 2, 20, 21]) * SECOND
  tokens = tokenizer.tokenise(np.asarray([0, 0, 1, 1, 1]), times)
  assert tokens.ids.tolist() == [5, 6, 4, 6, 4]
  assert tokens.num_events.tolist() == [2, 1, 0, 2, 0]
  assert tokens.sessions.tolist() == [0, 0, 0, 1, 1]


def test_settings_change_the_fingerprint():
  pairs = [("a", "0")]
  plain = PairTokenizer([], pairs)
  other = PairTokenizer([], pairs, Settings(RULE))
  assert plain.fingerprint != other.fingerprint


def test_lists_of_other_lengths_are_refused():
  tokenizer = PairTokenizer([], [("a", "0")])
  with pytest.raises(UserError, match="2 events but 1 timestamps"):
    tokenizer.tokenise(np.zeros(2, np.int32), np.zeros(1, np.int64))


def test_damaged_settings_name_their_place():
  with pytest.raises(UserError, match="here: 'settings' is damaged"):
    Settings.from_json({"sessions": {"kind": "never"}}, "here")
