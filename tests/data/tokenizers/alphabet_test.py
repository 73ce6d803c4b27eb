from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers.alphabet import Alphabet

COUNTS = st.dictionaries(
    st.tuples(st.text(min_size=1, max_size=2), st.text(max_size=2)),
    st.integers(0, 9),
    min_size=1,
    max_size=20,
)


def table(counts):
  return pl.DataFrame(
      {
          "event_id": [event for event, _ in counts],
          "design_id": [design for _, design in counts],
          "train_count": list(counts.values()),
      },
      schema_overrides={"event_id": pl.String, "design_id": pl.String},
  )


@given(COUNTS, st.integers(2, 30))
def test_units_tell_their_pair_or_its_event_or_nothing(counts, size):
  pairs = table(counts)
  if not sum(counts.values()):
    with pytest.raises(UserError, match="no event in the training split"):
      Alphabet.choose(pairs, size)
    return
  alphabet = Alphabet.choose(pairs, size)
  assert len(alphabet) <= size
  for unit, pair in zip(alphabet.table(pairs), counts, strict=True):
    assert alphabet.ids(unit) in (pair, (pair[0], None), (None, None))
    if pair in alphabet.pairs:
      assert alphabet.ids(unit) == pair


@given(COUNTS)
def test_the_least_frequent_pairs_are_left_out(counts):
  counts = {pair: count + 1 for pair, count in counts.items()}
  alphabet = Alphabet.choose(table(counts), 8)
  inside = [counts[pair] for pair in alphabet.pairs]
  outside = [counts[pair] for pair in counts if pair not in alphabet.pairs]
  assert not outside or not inside or min(inside) >= max(outside)


def test_names_say_what_a_unit_stands_for():
  alphabet = Alphabet(["a"], [("a", "7")])
  assert [alphabet.name(unit) for unit in (0, 1, -1)] == ["a#*", "a#7", "?"]


def test_json_round_trip():
  alphabet = Alphabet(["a"], [("a", "7"), ("b", "+4")])
  again = Alphabet.from_json(alphabet.to_json(), "here")
  assert again.events == alphabet.events and again.pairs == alphabet.pairs
  np.testing.assert_array_equal(again.units(["b"], ["+4"]), [2])


@pytest.mark.parametrize("content", [{}, {"events": 3, "pairs": []}])
def test_damaged_json_names_its_place(content):
  with pytest.raises(UserError, match="tokenizer.json: 'events' or 'pairs'"):
    Alphabet.from_json(content, "tokenizer.json")


def test_a_pair_listed_twice_is_refused():
  with pytest.raises(UserError, match="lists a pair twice"):
    Alphabet([], [("a", "0"), ("a", "0")])
