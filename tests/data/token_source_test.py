import pickle

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.reading import Reading
from behavior_lm.data.sessions import SessionRule
from behavior_lm.data.token_source import token_fields
from behavior_lm.data.token_source import TokenSource
from behavior_lm.data.tokenizers.base import Settings
from behavior_lm.data.tokenizers.base import Tokens
from behavior_lm.data.tokenizers.pair import PairTokenizer
from behavior_lm.logs import schema
from tests.logs.support.fakes import FakeSource

UNIT = schema.GAP_UNIT_US


class LogSource(FakeSource):
  """With an extra column, and pauses of a minute after each fifth event."""

  def __getitem__(self, index):
    example = super().__getitem__(index)
    n = self.lengths[index]
    example["timestamp"] = example["timestamp"] + np.arange(n) // 5 * 60_000_000
    example["level"] = np.arange(n, dtype=np.float32)
    return example


def source_of(lengths, *, tokens=None, reading=None, **options):
  pairs = [(str(i // 2), "0") for i in range(max(lengths))]
  tokenizer = PairTokenizer([], dict.fromkeys(pairs), tokens)
  unit_of_pair = np.arange(max(lengths)) // 2
  return TokenSource(
      LogSource(lengths), tokenizer, unit_of_pair, reading, **options
  )


COLLAPSED = Settings(
    SessionRule("fixed", seconds=30.0), sep_tokens=True, collapse_repeats=True
)


def test_pair_tokens_are_the_events():
  fields = source_of([7])[0]
  assert fields["tokens"].tolist() == [5, 5, 6, 6, 7, 7, 8]
  assert fields["num_events"].tolist() == [1] * 7
  assert fields["time_gaps"].tolist() == [3, 3, 3, 3, 603, 3, -1]
  np.testing.assert_allclose(
      fields["times"], [0, 0.3, 0.6, 0.9, 1.2, 61.5, 61.8]
  )


def test_tokens_of_several_events_sum_their_gaps():
  fields = source_of([7], tokens=COLLAPSED)[0]
  assert fields["tokens"].tolist() == [5, 6, 7, 4, 7, 8, 4]
  assert fields["num_events"].tolist() == [2, 2, 1, 0, 1, 1, 0]
  # SEP has no event, so its gap is hidden and its time the last event's.
  assert fields["time_gaps"].tolist() == [6, 6, 603, -1, 3, -1, -1]
  np.testing.assert_allclose(
      fields["times"], [0, 0.6, 1.2, 1.2, 61.5, 61.8, 61.8]
  )
  assert fields["sessions"].tolist() == [0, 0, 0, 0, 1, 1, 1]


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=20),
    st.sampled_from(["next", "previous"]),
    st.data(),
)
def test_gaps_of_any_tokens_add_up_to_the_time_that_passed(spans, kind, data):
  n = sum(spans)
  gaps = data.draw(st.lists(st.integers(0, 50), min_size=n, max_size=n))
  times = np.cumsum(gaps, dtype=np.int64) * UNIT
  num_events = np.asarray(spans, np.int32)
  tokens = Tokens(num_events, num_events, np.zeros_like(num_events))
  fields = token_fields(tokens, times, Reading(kind))
  known = np.maximum(fields["time_gaps"], 0)
  assert known.sum() == (times[-1] - times[0]) // UNIT
  first = np.cumsum(spans) - spans
  for at, (gap, place) in enumerate(
      zip(fields["time_gaps"], first, strict=True)
  ):
    end = place + spans[at]
    if kind == "next":
      want = times[min(end, n - 1)] - times[place]
    else:
      want = times[end - 1] - times[max(place - 1, 0)]
    # Of a single event at the open end nothing is known.
    open_end = end == n if kind == "next" else place == 0
    assert gap == (-1 if open_end and spans[at] == 1 else want // UNIT)


def test_without_time_all_gaps_are_hidden():
  tokens = Tokens(*(np.ones(3, np.int32),) * 3)
  fields = token_fields(tokens, None, Reading())
  assert fields["time_gaps"].tolist() == [-1] * 3
  assert not fields["times"].any()


@pytest.mark.parametrize("tokens", [None, COLLAPSED])
def test_features_are_reduced_to_tokens(tokens):
  names = ("hour", "level", "account_age")
  source = source_of(
      [7],
      tokens=tokens,
      reading=Reading(features=names, zone="Asia/Shanghai"),
      first_events=np.asarray([10**15 - 86_400_000_000]),
  )
  fields = source[0]
  # 2001-09-09 01:46:40 UTC
  events = fields["num_events"] > 0
  assert (fields["hour"][events] == 9).all()
  assert (fields["hour"][~events] == -1).all()
  level = [0, 1, 2, 3, 4, 5, 6]
  if tokens is not None:
    level = [0.5, 2.5, 4, 5, 6]
  np.testing.assert_allclose(fields["level"][events], level)
  assert fields["account_age"][0] == pytest.approx(1)
  assert "gap_next" not in fields


def test_the_age_of_an_account_needs_its_first_event():
  source = source_of([3], reading=Reading(features=("account_age",)))
  with pytest.raises(UserError, match="first event"):
    source[0]


def test_annotations_see_events_and_tokens():
  source = source_of(
      [7],
      tokens=COLLAPSED,
      annotate=lambda i, example, tokens: {
          "size": np.full(len(tokens), len(example["pair"]) + i)
      },
  )
  assert source[0]["size"].tolist() == [7] * 7


def test_sources_are_picklable():
  source = source_of([7, 3], tokens=COLLAPSED)
  copy = pickle.loads(pickle.dumps(source))
  np.testing.assert_array_equal(copy[1]["tokens"], source[1]["tokens"])


class CountingSource(LogSource):
  reads = 0

  def __getitem__(self, index):
    type(self).reads += 1
    return super().__getitem__(index)


def test_a_sequence_is_read_once_for_all_its_windows(monkeypatch):
  source = source_of([7, 3, 9])
  source.source = CountingSource([7, 3, 9])
  for _ in range(5):
    source[0], source[2]
  assert CountingSource.reads == 2
  monkeypatch.setattr("behavior_lm.data.token_source.RECENT_TOKENS", 10)
  for _ in range(3):
    source[1], source[2]  # 12 tokens: one of the two is forgotten
  assert CountingSource.reads >= 4
  assert len(source._recent._found) == 1
  want = source_of([9, 3])[1]["tokens"]
  np.testing.assert_array_equal(source[1]["tokens"], want)


def test_the_number_of_events_is_a_feature():
  fields = source_of(
      [7], tokens=COLLAPSED, reading=Reading(features=("num_events",))
  )[0]
  assert fields["num_events"].tolist() == [2, 2, 1, 0, 1, 1, 0]
