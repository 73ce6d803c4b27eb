import json

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.data.tokenizers.pair import PairTokenizer
from behavior_lm.logs import schema

PAIRS = pl.DataFrame({
    "event_id": ["a", "a", "ai", "b", "new"],
    "design_id": ["0", "7", "+44703335", "0", "0"],
    "train_count": [50, 30, 15, 5, 0],
})

IDS = st.text(min_size=1, max_size=6)


def test_frequent_pairs_get_their_own_tokens():
  tokenizer = PairTokenizer.train(PAIRS, vocab_size=13)
  tokens = tokenizer.encode(["a", "ai"], ["7", "+44703335"]).tokens.ids
  assert tokenizer.decode(tokens) == [("a", "7"), ("ai", "+44703335")]
  assert tokens.dtype == np.int32
  assert tokenizer.vocab_size <= 13


def test_an_unseen_pair_falls_back_to_its_event_and_then_to_unk():
  tokenizer = PairTokenizer.train(PAIRS, vocab_size=13)
  tokens = tokenizer.encode(["a", "never"], ["99", "0"]).tokens.ids
  assert tokenizer.decode(tokens[:1]) == [("a", None)]
  assert tokens[1] == schema.UNK_ID


def test_events_of_the_test_days_stay_out_of_the_vocabulary():
  tokenizer = PairTokenizer.train(PAIRS, vocab_size=100)
  assert "new" not in tokenizer.alphabet.events
  assert ("new", "0") not in tokenizer.alphabet.pairs


def test_coverage_sums_to_one_and_counts_by_weight():
  tokenizer = PairTokenizer.train(PAIRS, vocab_size=9)
  coverage = tokenizer.coverage(PAIRS)
  assert sum(coverage.values()) == pytest.approx(1.0)
  assert coverage["exact"] == pytest.approx(0.95)


def test_hidden_bytes_charge_what_a_token_leaves_out():
  tokenizer = PairTokenizer(["a"], [("a", "0")])
  pairs = pl.DataFrame({
      "event_id": ["a", "a", "xyz"],
      "design_id": ["0", "12", "é"],
      "train_count": [1, 0, 0],
  })
  # exact; "12" and its end; "é" is two bytes, each id has an end
  assert tokenizer.hidden_bytes(pairs).tolist() == [0, 3, 3 + 4]


def test_saved_and_loaded_tokenizers_encode_alike(tmp_path):
  tokenizer = PairTokenizer.train(PAIRS, vocab_size=12)
  tokenizer.save(tmp_path)
  loaded = load_tokenizer(tmp_path)
  assert loaded.fingerprint == tokenizer.fingerprint
  np.testing.assert_array_equal(
      loaded.unit_table(PAIRS), tokenizer.unit_table(PAIRS)
  )


@given(
    st.dictionaries(
        st.tuples(IDS, IDS), st.integers(1, 100), min_size=1, max_size=30
    )
)
def test_pairs_of_the_vocabulary_round_trip(counts):
  pairs = pl.DataFrame({
      "event_id": [event for event, _ in counts],
      "design_id": [design for _, design in counts],
      "train_count": list(counts.values()),
  })
  tokenizer = PairTokenizer.train(pairs, vocab_size=200)
  units = tokenizer.unit_table(pairs)
  tokens = tokenizer.tokenise(units).ids
  assert (tokens >= schema.NUM_SPECIAL).all()
  for got, want in zip(tokenizer.decode(tokens), counts, strict=True):
    assert got in (want, (want[0], None))


def test_equal_counts_give_equal_ids_whatever_the_order_of_rows():
  shuffled = PAIRS.with_columns(train_count=pl.lit(3)).reverse()
  same = PAIRS.with_columns(train_count=pl.lit(3))
  a = PairTokenizer.train(shuffled, vocab_size=11)
  b = PairTokenizer.train(same, vocab_size=11)
  assert a.fingerprint == b.fingerprint


def test_a_changed_file_is_refused(tmp_path):
  PairTokenizer.train(PAIRS, vocab_size=12).save(tmp_path)
  path = tmp_path / "tokenizer.json"
  content = json.loads(path.read_text())
  content["pairs"].reverse()
  path.write_text(json.dumps(content))
  with pytest.raises(UserError, match="does not match its fingerprint"):
    load_tokenizer(tmp_path)


def test_a_folder_without_a_tokenizer_says_so(tmp_path):
  with pytest.raises(UserError, match="no tokenizer.json"):
    load_tokenizer(tmp_path)


def test_an_unknown_kind_names_the_known_ones(tmp_path):
  (tmp_path / "tokenizer.json").write_text('{"kind": "words"}')
  with pytest.raises(UserError, match=r"'words'; known are \['bpe', 'pair'\]"):
    load_tokenizer(tmp_path)


def test_broken_json_names_the_file(tmp_path):
  (tmp_path / "tokenizer.json").write_text("{")
  with pytest.raises(UserError, match="tokenizer.json: not readable as JSON"):
    load_tokenizer(tmp_path)


def test_an_empty_training_split_is_an_error():
  with pytest.raises(UserError, match="no event in the training split"):
    PairTokenizer.train(PAIRS.with_columns(train_count=pl.lit(0)), 100)


def test_too_small_a_vocabulary_is_an_error():
  with pytest.raises(UserError, match="ask for at least 9"):
    PairTokenizer.train(PAIRS, vocab_size=6)


def test_lists_of_different_lengths_are_an_error():
  tokenizer = PairTokenizer.train(PAIRS, vocab_size=12)
  with pytest.raises(UserError, match="2 event ids but 1 design ids"):
    tokenizer.encode(["a", "b"], ["0"])


def test_decoding_an_id_outside_of_the_vocabulary_is_an_error():
  tokenizer = PairTokenizer.train(PAIRS, vocab_size=12)
  with pytest.raises(UserError, match="outside of the vocabulary"):
    tokenizer.decode([tokenizer.vocab_size])
