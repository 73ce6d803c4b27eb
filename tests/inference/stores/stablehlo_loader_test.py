"""What the loader does beside the program, against the package's own."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.data.time_gaps import time_gaps
from behavior_lm.data.tokenizers.pair import PairTokenizer
from behavior_lm.inference.batching import window_cuts
from behavior_lm.inference.stores.stablehlo_loader import Encoder
from tests.inference.fake_runs import EVENTS
from tests.inference.fake_runs import PAIRS

FIELD = {"dtype": "int32", "pad": 0, "cls": 3}


def encoder(folder=None, **content):
  return Encoder(folder, {"fields": {"tokens": FIELD}, **content}, [])


@given(
    st.lists(st.integers(0, 2**48), max_size=20),
    st.sampled_from(["next", "previous"]),
)
def test_gaps_are_those_of_the_package(times, kind):
  times = sorted(times)
  got = encoder(gap_kind=kind).time_gaps(times)
  np.testing.assert_array_equal(got, time_gaps(np.array(times, int), kind))


@given(st.integers(1, 300), st.integers(2, 40))
def test_windows_are_those_of_the_package(size, max_length):
  got = encoder(max_length=max_length)._cuts({"tokens": [0] * size}, 0)
  assert got == window_cuts(size, max_length - 1)


def test_tokens_are_those_of_the_tokenizer(tmp_path):
  tokenizer = PairTokenizer(EVENTS, PAIRS)
  tokenizer.save(tmp_path / "tokenizer")
  events = ["login", "fight", "fight", "dance", "shop"]
  designs = ["0", "3", "99", "0", "7"]
  units = tokenizer.alphabet.units(events, designs)
  got = encoder(tmp_path, tokenizer="pair", one_token_an_event=True)
  np.testing.assert_array_equal(
      got.tokens(events, designs), tokenizer.tokenise(units).ids
  )


def test_odd_sequences_are_named():
  odd = encoder(max_length=8, fields={"tokens": FIELD, "time_gaps": FIELD})
  for sequence, message in [
      ({"tokens": [1]}, "sequence 4: has no field 'time_gaps'"),
      ({"tokens": [1], "time_gaps": []}, "'time_gaps' has another length"),
      ({"tokens": [], "time_gaps": []}, "sequence 4: has no tokens"),
  ]:
    with pytest.raises(ValueError, match=message):
      odd._cuts(sequence, 4)
  with pytest.raises(ValueError, match="go backwards"):
    encoder(gap_kind="next").time_gaps([2, 1])
  with pytest.raises(ValueError, match="tokens span several events"):
    encoder(tokenizer="bpe", one_token_an_event=False).tokens([], [])
