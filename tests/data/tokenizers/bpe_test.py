import pickle

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.sessions import SessionRule
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.data.tokenizers.base import Settings
from behavior_lm.data.tokenizers.bpe import BpeTokenizer
from behavior_lm.logs import schema

MINUTE = 60_000_000
NUM_PAIRS = 30
PAIRS = pl.DataFrame({
    "event_id": [f"e{i % 7}" for i in range(NUM_PAIRS)],
    "design_id": [str(i) for i in range(NUM_PAIRS)],
    "train_count": [1000 // (i + 1) for i in range(NUM_PAIRS)],
})
EVENTS, DESIGNS = PAIRS["event_id"].to_list(), PAIRS["design_id"].to_list()


def chains(seed=0, count=60, length=80):
  """Sequences that repeat a few chains, with noise and pauses."""
  rng = np.random.default_rng(seed)
  routines = [rng.integers(0, NUM_PAIRS, rng.integers(2, 7)) for _ in range(6)]
  for _ in range(count):
    parts = [routines[i] for i in rng.integers(0, 6, length // 4)]
    pair = np.concatenate(parts)[:length].astype(np.int32)
    noise = rng.random(len(pair)) < 0.05
    pair[noise] = rng.integers(0, NUM_PAIRS, noise.sum())
    gaps = np.where(rng.random(len(pair)) < 0.05, 60, 0) * MINUTE
    yield pair, np.cumsum(gaps)


def train(**changes):
  values = dict(vocab_size=200, alphabet_size=25) | changes
  return BpeTokenizer.train(PAIRS, chains(), **values)


RULE = SessionRule("fixed", seconds=600.0)
KINDS = {
    "plain": train(),
    # Every pair has a unit: events alone occur nowhere in the text.
    "whole": train(alphabet_size=60),
    # Learned from a little: neither do most pairs.
    "sampled": BpeTokenizer.train(
        PAIRS,
        [(np.arange(4, dtype=np.int32), np.arange(4))],
        vocab_size=80,
        alphabet_size=60,
    ),
    "sessions": train(settings=Settings(RULE)),
    "fewest": train(segmentation="fewest", settings=Settings(RULE)),
    "all": train(
        segmentation="fewest",
        settings=Settings(
            RULE, sep_tokens=True, collapse_repeats=True, run_lengths=(9, 3, 1)
        ),
    ),
}
ANY_KIND = st.sampled_from(sorted(KINDS))
# Known pairs, known events with new designs, and what nobody has seen.
EVENT = st.tuples(
    st.one_of(st.sampled_from(EVENTS), st.text(max_size=4)),
    st.one_of(st.sampled_from(DESIGNS), st.text(max_size=4)),
)
LOG = st.lists(st.tuples(EVENT, st.sampled_from([0, 1, 9, 11])), max_size=60)


def columns(log):
  events = [event for (event, _), _ in log]
  designs = [design for (_, design), _ in log]
  times = np.cumsum([gap for _, gap in log], dtype=np.int64) * MINUTE
  return events, designs, times


@pytest.mark.slow
@settings(max_examples=150)
@given(ANY_KIND, LOG)
def test_decoding_an_encoding_gives_the_events_back(kind, log):
  events, designs, times = columns(log)
  encoding = KINDS[kind].encode(events, designs, times)
  got = KINDS[kind].decode(encoding)
  assert got == list(zip(events, designs, strict=True))


@pytest.mark.slow
@settings(max_examples=100)
@given(ANY_KIND, LOG)
def test_tokens_span_every_event_once_and_no_session_boundary(kind, log):
  events, designs, times = columns(log)
  tokens = KINDS[kind].encode(events, designs, times).tokens
  assert tokens.num_events.sum() == len(events)
  rule = KINDS[kind].settings.sessions
  want = np.cumsum(rule.starts(times)) - 1
  ends = np.cumsum(tokens.num_events)
  for end, num, session in zip(
      ends, tokens.num_events, tokens.sessions, strict=True
  ):
    assert (want[end - num : end] == session).all()


@settings(max_examples=60)
@given(LOG)
def test_sep_closes_each_session(log):
  tokens = KINDS["all"].encode(*columns(log)).tokens
  is_sep = tokens.ids == schema.SEP_ID
  assert ((tokens.num_events == 0) == is_sep).all()
  num_sessions = tokens.sessions[-1] + 1 if len(tokens) else 0
  np.testing.assert_array_equal(
      tokens.sessions[is_sep], np.arange(num_sessions)
  )
  assert not len(tokens) or is_sep[-1]


def test_frequent_chains_become_one_token():
  tokenizer = KINDS["plain"]
  pair = np.concatenate([pair for pair, _ in chains()])
  tokens = tokenizer.tokenise(tokenizer.unit_table(PAIRS)[pair])
  assert len(tokens) < len(pair) / 2
  assert tokenizer.spans.max() > 4


def test_as_few_pieces_as_possible_are_no_more_than_merges_make():
  # Text without a pattern over few units: chains overlap in every way.
  pair = np.random.default_rng(0).integers(0, 6, 5_000).astype(np.int32)
  log = [(pair, np.zeros(len(pair), np.int64))]
  plain, fewest = (
      BpeTokenizer.train(
          PAIRS, log, vocab_size=120, alphabet_size=25, segmentation=kind
      )
      for kind in ("merges", "fewest")
  )
  units = plain.unit_table(PAIRS)[pair]
  less = 0
  for begin in range(0, len(units), 50):
    part = units[begin : begin + 50]
    saved = len(plain.tokenise(part)) - len(fewest.tokenise(part))
    assert saved >= 0
    less += saved
  assert less > 0


def test_an_unknown_event_is_one_token_of_one_event():
  tokens = KINDS["plain"].encode(["?"] * 3, ["0"] * 3).tokens
  assert tokens.ids.tolist() == [schema.UNK_ID] * 3
  assert tokens.num_events.tolist() == [1, 1, 1]


def test_a_rare_design_falls_back_to_its_event():
  tokenizer = KINDS["plain"]
  encoding = tokenizer.encode(["e1"], ["new"])
  assert tokenizer.decode(encoding.tokens.ids) == [("e1", None)]
  assert encoding.hidden == {0: ("e1", "new")}


def test_repeats_are_collapsed_and_counted():
  tokenizer = KINDS["all"]
  encoding = tokenizer.encode(["e0"] * 1000, ["0"] * 1000)
  assert encoding.tokens.num_events.tolist() == [1000, 0]
  assert encoding.repeats.tolist() == [1000]


def test_lines_of_any_length_are_encoded_whole():
  tokenizer = KINDS["plain"]
  units = np.tile(tokenizer.unit_table(PAIRS)[:20], 10_000)
  assert tokenizer.tokenise(units).num_events.sum() == 200_000


def test_long_lines_are_learned_from():
  # 40,000 characters of 3 bytes: SentencePiece drops lines over 4,192 bytes
  # unless it is told not to, and then there is nothing to merge.
  pair = np.tile(np.arange(5, dtype=np.int32), 8_000)
  tokenizer = BpeTokenizer.train(
      PAIRS,
      [(pair, np.zeros(len(pair), np.int64))],
      vocab_size=60,
      alphabet_size=25,
  )
  assert tokenizer.spans.max() > 5


def test_names_are_readable_chains():
  tokenizer = KINDS["plain"]
  longest = int(tokenizer.spans.argmax())
  name = tokenizer.tokens[longest]
  assert len(name.split()) == tokenizer.spans[longest]
  assert name.split()[0].startswith("e")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_saved_loaded_and_pickled_tokenizers_encode_alike(kind, tmp_path):
  tokenizer = KINDS[kind]
  tokenizer.save(tmp_path)
  loaded = load_tokenizer(tmp_path)
  copied = pickle.loads(pickle.dumps(tokenizer))
  assert loaded.fingerprint == tokenizer.fingerprint
  assert loaded.settings == tokenizer.settings
  table = tokenizer.unit_table(PAIRS)
  for pair, times in chains(seed=2, count=5):
    want = tokenizer.tokenise(table[pair], times)
    for other in (loaded, copied):
      got = other.tokenise(table[pair], times)
      np.testing.assert_array_equal(got.ids, want.ids)
      np.testing.assert_array_equal(got.num_events, want.num_events)


def test_training_again_gives_the_same_tokenizer():
  assert train().fingerprint == KINDS["plain"].fingerprint


def test_a_changed_model_file_is_refused(tmp_path):
  KINDS["plain"].save(tmp_path)
  file = tmp_path / "bpe.model"
  content = bytearray(file.read_bytes())
  content[len(content) // 2] ^= 1
  file.write_bytes(bytes(content))
  with pytest.raises(UserError, match="bpe.model: is not the model"):
    load_tokenizer(tmp_path)


def test_a_missing_model_file_is_named(tmp_path):
  KINDS["plain"].save(tmp_path)
  (tmp_path / "bpe.model").unlink()
  with pytest.raises(UserError, match="bpe.model: cannot be read"):
    load_tokenizer(tmp_path)


def test_a_model_over_another_alphabet_is_refused():
  model = KINDS["plain"]._model
  small = train(alphabet_size=4, vocab_size=60).alphabet
  with pytest.raises(UserError, match="no unit of its alphabet"):
    BpeTokenizer(small, model)


@pytest.mark.parametrize("changes, message", [
    ({"vocab_size": 20}, "leaves no room for merges"),
    ({"alphabet_size": 1}, "2 is the least"),
    ({"segmentation": "best"}, "choose 'merges' or 'fewest'"),
    ({"max_piece_events": 1}, "give 2 to 512"),
    ({"max_piece_events": 513}, "give 2 to 512"),
])
def test_sizes_that_do_not_fit_are_refused(changes, message):
  with pytest.raises(UserError, match=message):
    train(**changes)


def test_more_vocabulary_than_there_are_chains_is_no_error():
  tokenizer = train(vocab_size=100_000)
  assert 50 < tokenizer.vocab_size < 100_000


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_unit_has_a_token(kind):
  tokenizer = KINDS[kind]
  for unit in range(len(tokenizer.alphabet)):
    tokens = tokenizer.tokenise(np.asarray([unit, unit, unit], np.int32))
    assert schema.UNK_ID not in tokens.ids
    units = [u for t in tokens.ids for u in tokenizer.token_units(int(t))]
    assert set(units) == {unit}


def test_a_fault_of_the_log_is_told_as_it_is():
  def damaged():
    yield from list(chains())[:3]
    raise UserError("shard 3 is damaged")

  with pytest.raises(UserError, match="^shard 3 is damaged$"):
    BpeTokenizer.train(PAIRS, damaged(), vocab_size=80, alphabet_size=25)
