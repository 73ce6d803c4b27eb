import datetime
import types

import numpy as np
import pytest

from behavior_lm.data.tokenizers.pair import PairTokenizer
from behavior_lm.errors import UserError
from behavior_lm.inference.sequences import microseconds
from behavior_lm.inference.sequences import Reader

UTC = datetime.UTC
TOKENIZER = PairTokenizer(["a", "b", "7"], [("a", "1"), ("b", "0")])
READER = Reader(TOKENIZER, "next")
A, B, SEVEN, A1, B0 = 5, 6, 7, 8, 9


def test_gaps_are_of_the_kind_that_the_model_was_trained_with():
  item = {"event_id": ["a", "a", "b"], "timestamp": [0, 10**6, 10**6 + 250_000]}
  after = READER.read(item, "it")
  before = Reader(TOKENIZER, "previous").read(item, "it")
  np.testing.assert_array_equal(after.time_gaps, [10, 2, 0])
  np.testing.assert_array_equal(before.time_gaps, [0, 10, 2])
  np.testing.assert_allclose(after.seconds, [0, 1, 1.25])
  np.testing.assert_array_equal(after.tokens, [A, A, B0])
  assert after.tokens.dtype == after.time_gaps.dtype == np.int32


def test_whole_numbers_are_taken_as_the_texts_that_they_are_in_a_log():
  for ids in ([7, 8], np.array([7, 8]), np.array([7, 8], np.uint8)):
    got = READER.read({"event_id": ids}, "it")
    np.testing.assert_array_equal(got.tokens, [SEVEN, 2])
  got = READER.read([("a", 1), ("a", np.int64(1))], "it")
  np.testing.assert_array_equal(got.tokens, [A1, A1])


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


def test_times_of_every_kind_are_microseconds():
  want = [1_577_836_800_000_000, 1_577_836_800_250_000]
  east = datetime.timezone(datetime.timedelta(hours=8))
  aware = [
      datetime.datetime(2020, 1, 1, 8, tzinfo=east),
      datetime.datetime(2020, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC),
  ]
  naive = [m.astimezone(UTC).replace(tzinfo=None) for m in aware]
  for times in (
      aware,
      naive,
      tuple(naive),
      np.array(aware, object),
      np.array(naive, "datetime64[us]"),
      np.array(naive, "datetime64[ns]"),
      list(np.array(naive, "datetime64[ms]")),
      want,
      np.array(want),
      np.array(want, np.uint64),
  ):
    got = microseconds(times, "it")
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, want)
  before_1970 = [datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999)]
  np.testing.assert_array_equal(microseconds(before_1970, "it"), [-1])


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([1_577_836_800], "seem.* to be seconds; multiply them by 1,000,000"),
        ([1_577_836_800_000], "to be milliseconds"),
        ([1_577_836_800_000_000_000], "to be nanoseconds"),
        ([1.5], "cannot read timestamps such as .*1.5"),
        (["2020-01-01"], "cannot read timestamps such as .*2020-01-01"),
        ([True], "cannot read timestamps"),
        ([datetime.datetime(2020, 1, 1), None], "cannot read timestamps"),
        ([datetime.date(2020, 1, 1)], "cannot read timestamps"),
        ([None], "cannot read timestamps such as None"),
        (np.array(["2020-01-01", "NaT"], "datetime64[s]"), "event 1 has no"),
        (np.zeros((2, 2), np.int64), "timestamps have shape \\(2, 2\\)"),
        (types.SimpleNamespace(), "holds a SimpleNamespace"),
    ],
)
def test_times_that_cannot_be_read_are_errors(times, message):
  with pytest.raises(UserError, match=f"^user 3: .*{message}"):
    microseconds(times, "user 3")
