import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.reading import Reading
from behavior_lm.data.sessions import SessionRule
from behavior_lm.data.tokenizers.base import Settings
from behavior_lm.data.tokenizers.pair import PairTokenizer
from behavior_lm.inference.sequences import Reader

TOKENIZER = PairTokenizer(["a", "b", "7"], [("a", "1"), ("b", "0")])
READER = Reader(TOKENIZER, Reading())
A, B, SEVEN, A1, B0 = 5, 6, 7, 8, 9


def test_gaps_are_of_the_kind_that_the_model_was_trained_with():
  item = {"event_id": ["a", "a", "b"], "timestamp": [0, 10**6, 10**6 + 250_000]}
  after = READER.read(item, "it")
  before = Reader(TOKENIZER, Reading("previous")).read(item, "it")
  np.testing.assert_array_equal(after["time_gaps"], [10, 2, -1])
  np.testing.assert_array_equal(before["time_gaps"], [-1, 10, 2])
  np.testing.assert_allclose(after["times"], [0, 1, 1.25])
  np.testing.assert_array_equal(after["tokens"], [A, A, B0])
  assert after["tokens"].dtype == after["time_gaps"].dtype == np.int32


def test_whole_numbers_are_taken_as_the_texts_that_they_are_in_a_log():
  for ids in ([7, 8], np.array([7, 8]), np.array([7, 8], np.uint8)):
    got = READER.read({"event_id": ids}, "it")
    np.testing.assert_array_equal(got["tokens"], [SEVEN, 2])
  got = READER.read([("a", 1), ("a", np.int64(1))], "it")
  np.testing.assert_array_equal(got["tokens"], [A1, A1])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({}, "user 3: has no event_id"),
        ({"event": ["a"]}, "user 3: unknown field 'event'"),
        ({"event_id": []}, "user 3: has no events"),
        ({"tokens": []}, "user 3: has no events"),
        ({"tokens": [5], "event_id": ["a"]}, "not both"),
        ({"tokens": [5, 10]}, "token ids lie between 5 and 10"),
        ({"tokens": [-1]}, "token ids lie between -1"),
        ({"tokens": [5.0]}, "tokens must be a list of whole numbers"),
        ({"tokens": [[5]]}, "of shape \\(1, 1\\)"),
        ({"event_id": "ab"}, "user 3: holds a str"),
        ({"event_id": [["a"]]}, "event 0 has the event_id \\['a'\\]"),
        ({"event_id": np.array([["a"]])}, "event_id has shape \\(1, 1\\)"),
        ({"event_id": ["a", None]}, "event 1 has the event_id None"),
        ({"event_id": ["a", 1.5]}, "event 1 has the event_id 1.5"),
        ({"event_id": ["a", True]}, "event 1 has the event_id True"),
        ({"event_id": ["a", " "]}, "event 1 has an empty event id"),
        ({"event_id": ["a"], "design_id": []}, "1 event ids but 0 design ids"),
        ({"event_id": ["a"], "design_id": [0.5]}, "the design_id 0.5"),
        ({"event_id": ["a"], "timestamp": [1, 2]}, "1 events but 2 timestamps"),
        ({"event_id": ["a"], "timestamp": []}, "1 events but 0 timestamps"),
        ([("a", "1"), "b"], "event 1 is 'b', others are pairs"),
        ([("a", "1", "2")], "event 0 is \\('a', '1', '2'\\)"),
        (5, "user 3: is a int; a sequence is a dict of"),
        (None, "user 3: is a NoneType"),
        (b"a", "user 3: is the text b'a'"),
        (np.zeros((2, 3)), "user 3: is a ndarray"),
    ],
)
def test_what_is_no_sequence_is_named_with_the_reason(item, message):
  with pytest.raises(UserError, match=message):
    READER.read(item, "user 3")


def test_tokens_of_several_events_carry_their_number_and_their_time():
  settings = Settings(
      SessionRule("fixed", seconds=60.0), sep_tokens=True, collapse_repeats=True
  )
  tokenizer = PairTokenizer(["a", "b"], [], settings)
  times = [0, 10**6, 2 * 10**6, 10**9]
  item = {"event_id": ["a", "a", "b", "a"], "timestamp": times}
  got = Reader(tokenizer, Reading()).read(item, "it")
  assert got["tokens"].tolist() == [5, 6, 4, 5, 4]
  assert got["num_events"].tolist() == [2, 1, 0, 1, 0]
  assert got["time_gaps"].tolist() == [20, 9980, -1, -1, -1]


FEATURES = Reader(
    TOKENIZER, Reading(features=("hour", "level", "account_age"))
)
DAY = 18_250 * 86_400_000_000  # 2019-12-20
ITEM = {
    "event_id": ["a", "b"],
    "timestamp": [DAY + 3_600_000_000, DAY + 7_200_000_000],
    "level": [3, None],
    "first_event": DAY,
}


def test_features_are_read_with_the_events():
  got = FEATURES.read(ITEM, "it")
  assert got["hour"].tolist() == [1, 2]
  np.testing.assert_array_equal(got["level"], [3, np.nan])
  np.testing.assert_allclose(got["account_age"], [1 / 24, 2 / 24])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level": None}, "level is not|level has shape"),
        ({"level": [1]}, "2 events but level has shape"),
        ({"level": ["high", "low"]}, "level is not a list of numbers"),
        ({"timestamp": None}, "has no timestamp, which the model reads"),
        ({"first_event": None}, "needs the time of the user's first event"),
        ({"first_event": 2 * DAY}, "before the user's first event"),
        ({"rank": [1, 2]}, "unknown field 'rank'"),
    ],
)
def test_what_a_model_reads_must_be_there(change, message):
  with pytest.raises(UserError, match=f"^user 3: .*({message})"):
    FEATURES.read(ITEM | change, "user 3")


def test_a_missing_column_is_named():
  item = {key: value for key, value in ITEM.items() if key != "level"}
  with pytest.raises(UserError, match="has no level, which the model reads"):
    FEATURES.read(item, "user 3")


def test_tokens_alone_do_not_suffice_for_a_model_with_features():
  with pytest.raises(UserError, match="give event ids instead of tokens"):
    FEATURES.read({"tokens": [5]}, "user 3")
