"""Samples hold what a user did strictly before the time of the row."""

import pickle

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.samples import History
from behavior_lm.data.samples import read_table
from behavior_lm.data.samples import Samples
from behavior_lm.data.samples import vocabulary
from behavior_lm.data.token_source import TokenSource
from behavior_lm.data.tokenizers.pair import PairTokenizer
from behavior_lm.logs.dataset import open_dataset
from tests import tiny
from tests.data.samples import fake_log
from tests.data.samples.fake_log import declare
from tests.data.samples.fake_log import FakeLog
from tests.data.samples.fake_log import label_frame

USERS = "abc"
_seconds = st.integers(0, 35)
_events = st.lists(
    st.tuples(
        st.sampled_from(USERS), _seconds, st.integers(0, fake_log.NUM_PAIRS - 1)
    ),
    min_size=10,
    max_size=40,
)
_rows = st.lists(
    st.tuples(st.sampled_from(USERS + "x"), st.integers(0, 40)),
    min_size=1,
    max_size=12,
    unique=True,
)


def joined(log, labelled, *, cached_events=100, columns=None, **options):
  history = History(log, cached_events=cached_events)
  table = read_table(label_frame(labelled), columns or declare(), history)
  return Samples(table, history, **options)


def events_of(sample):
  return list(
      zip(sample["timestamp"].tolist(), sample["pair"].tolist(), strict=True)
  )


@pytest.mark.slow
@settings(max_examples=50)
@given(
    events=_events,
    rows=_rows,
    split_time=st.integers(0, 40),
    max_events=st.none() | st.integers(1, 6),
    excluded=st.sets(st.sampled_from(["e0", "e2"])),
    cached_events=st.integers(0, 30),
)
def test_a_sample_holds_the_last_events_strictly_before_its_time(
    events, rows, split_time, max_events, excluded, cached_events
):
  log = FakeLog([*events, ("a", 0, 0), ("a", 1, 3), ("a", 2, 6)], split_time)
  samples = joined(
      log,
      [("a", 41), *rows],
      cached_events=cached_events,
      max_events=max_events,
      excluded_events=sorted(excluded),
  )
  seen = set()
  for sample in samples:
    seconds = (sample["sample/time"] - fake_log.START) // 1_000_000
    seen.add((sample["user_id"], seconds))
    want = log.before(sample["user_id"], seconds, excluded)
    want = want[-max_events:] if max_events else want
    assert events_of(sample) == want
    assert sample["start"] == (want[0][0] if want else 0)
    np.testing.assert_array_equal(sample["price"], sample["pair"] / 2)
  assert seen == {("a", 41), *rows}


@pytest.mark.slow
@given(events=_events, later=_events, time=st.integers(1, 30))
def test_events_at_or_after_the_time_never_change_a_sample(events, later, time):
  early = [(user, seconds % time, pair) for user, seconds, pair in events]
  poison = [(user, time + seconds, pair) for user, seconds, pair in later]
  rows = [(user, time) for user in USERS]
  clean = joined(FakeLog(early), rows)
  poisoned = joined(FakeLog(early + poison), rows)
  for one, other in zip(clean, poisoned, strict=True):
    assert events_of(one) == events_of(other)
    assert all(when < fake_log.at(time) for when, _ in events_of(other))


def test_a_row_without_a_time_sees_all_splits():
  log = FakeLog([("a", 1, 2), ("a", 15, 3), ("a", 31, 4)], split_time=14)
  table_columns = declare(time="")
  [sample] = joined(log, [("a", None)], columns=table_columns)
  assert sample["pair"].tolist() == [2, 3, 4]


def test_a_sample_without_a_history_has_arrays_of_the_right_types():
  samples = joined(FakeLog([("a", 5, 2)]), [("a", 5), ("a", 6), ("x", 9)])
  before, some, unknown = samples
  assert len(some["pair"]) == 1
  for sample in (before, unknown):
    for name in ("pair", "timestamp", "price"):
      assert sample[name].shape == (0,)
      assert sample[name].dtype == some[name].dtype


def test_all_rows_of_a_user_read_each_sequence_once():
  log = FakeLog([(user, s, 1) for user in USERS for s in range(40)])
  samples = joined(log, [(user, s) for s in range(40) for user in USERS])
  for _ in samples:
    pass
  reads = log.sources["train"].reads
  assert sorted(reads) == list(range(12))


def test_no_more_events_are_held_than_the_cache_may_hold():
  log = FakeLog([(user, s, 1) for user in USERS for s in range(40)])
  samples = joined(
      log, [(user, 40) for user in USERS], cached_events=25
  )
  recent = samples.history.recent
  held = []
  for sample in samples:
    assert len(sample["pair"]) == 40
    held.append((recent.num_events, len(recent)))
  assert held == [(20, 2)] * 3


def test_only_as_many_sequences_are_read_as_the_last_events_need():
  log = FakeLog([("a", s, 1) for s in range(100)])
  [sample] = joined(log, [("a", 100)], max_events=12)
  assert len(sample["pair"]) == 12
  assert log.sources["train"].reads == [9, 8]


def test_a_sequence_that_starts_at_the_time_of_the_row_is_not_read():
  log = FakeLog([("a", s, 1) for s in range(5, 30)])
  joined(log, [("a", 20)])[0]
  assert 2 not in log.sources["train"].reads


def test_excluded_events_do_not_count_as_last_events():
  log = FakeLog([("a", s, [0, 6, 7][s % 3]) for s in range(30)])
  [sample] = joined(log, [("a", 28)], max_events=5, excluded_events=["e0"])
  assert events_of(sample) == log.before("a", 28, ["e0"])[-5:]


def test_arrays_of_the_cache_cannot_be_written_to():
  [sample] = joined(FakeLog([("a", 1, 2)]), [("a", 3)])
  with pytest.raises(ValueError, match="read-only"):
    sample["pair"][0] = 7


def test_a_sample_carries_labels_candidates_features_and_weight():
  log = FakeLog([("a", 1, 2), ("b", 1, 2)])
  columns = declare(
      labels={
          "bot": "binary", "map": "multi_class", "tags": "multi_label",
          "spend": "regression",
      },
      candidates=["item"],
      dense=["price"],
      categorical=["city"],
      weight="share",
  )  # fmt: skip
  frame = label_frame(
      [("a", 2), ("a", 3), ("b", 3)],
      map=["m2", "m10", None],
      tags=["x|y", None, "|"],
      spend=[0.5, None, 2.0],
      item=["i1", "i2", "i3"],
      price=[1.5, None, 3.0],
      city=["Rome", None, "Oslo"],
      share=[1.0, 0.5, 2.0],
  )
  history = History(log)
  table = read_table(frame, columns, history)
  known = vocabulary.fit(table, np.array([0, 1]))
  first, second, third = Samples(table, history, vocabularies=known)
  names = [name for name in first if "/" in name]
  got = {name: [s[name] for s in (first, second, third)] for name in names}
  tags = [values.tolist() for values in got.pop("label/tags")]
  assert tags == [[1, 1], [-1, -1], [0, 0]]
  times = [fake_log.at(seconds) for seconds in (2, 3, 3)]
  np.testing.assert_equal(got, {
      "sample/row": [1, 2, 3],
      "sample/time": times,
      "sample/weight": [1.0, 0.5, 2.0],
      "label/bot": [0, 1, 0],
      "label/map": [1, 0, vocabulary.MISSING],
      "label/spend": [0.5, np.nan, 2.0],
      "candidate/item": ["i1", "i2", "i3"],
      "dense/price": [1.5, np.nan, 3.0],
      "categorical/city": [1, -1, vocabulary.UNKNOWN_CATEGORY],
  })


def test_samples_come_in_the_order_of_the_rows_that_are_asked_for():
  log = FakeLog([("a", 1, 2)])
  samples = joined(log, [("a", s) for s in range(2, 7)], rows=np.array([3, 0]))
  assert [sample["sample/row"] for sample in samples] == [4, 1]
  assert samples[-1]["sample/row"] == 1
  with pytest.raises(IndexError):
    samples[2]


def test_samples_survive_pickling_without_their_cache():
  samples = joined(
      FakeLog([("a", s, s % 5) for s in range(30)]),
      [("a", 17), ("a", 25)],
      max_events=9,
      excluded_events=["e0"],
  )
  want = [events_of(sample) for sample in samples]
  copy = pickle.loads(pickle.dumps(samples))
  assert len(copy.history.recent) == 0
  assert [events_of(sample) for sample in copy] == want


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(max_events=0), "max_events"),
        (dict(excluded_events=["e0", "e99"]), "e99"),
    ],
)
def test_options_that_cannot_be_are_refused(options, words):
  with pytest.raises(UserError, match=words):
    joined(FakeLog([("a", 1, 2)]), [("a", 3)], **options)


def test_samples_of_a_prepared_dataset_become_token_sequences(dataset_path):
  dataset = open_dataset(dataset_path)
  history = History(dataset)
  events = tiny.tiny_events().sort("user_id", "timestamp", maintain_order=True)
  # Times that are those of events, in train and in test.
  rows = events.gather_every(37).unique(
      ["user_id", "timestamp"], maintain_order=True
  )
  frame = rows.select("user_id", "timestamp", bot=pl.lit(1))
  table = read_table(frame, declare(time="timestamp"), history)
  samples = Samples(table, history, max_events=120)
  tokenizer = PairTokenizer.train(dataset.pairs, vocab_size=40)
  tokens = TokenSource(samples, tokenizer, tokenizer.unit_table(dataset.pairs))
  pairs = dataset.pairs
  for number, sample in enumerate(samples):
    want = events.filter(
        pl.col("user_id") == sample["user_id"],
        pl.col("timestamp").to_physical() < sample["sample/time"],
    ).tail(120)
    got = pairs[sample["pair"]]
    assert got["event_id"].to_list() == want["event_id"].to_list()
    assert got["design_id"].to_list() == want["design_id"].to_list()
    assert len(tokens[number]["tokens"]) == want.height
  assert len(samples) == frame.height > 40
