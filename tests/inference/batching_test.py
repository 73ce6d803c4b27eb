import itertools

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.reading import Reading
from behavior_lm.inference.batching import Batcher
from behavior_lm.inference.batching import bucket_lengths
from behavior_lm.inference.batching import Cut
from behavior_lm.inference.batching import window_cuts


@given(st.integers(1, 5000), st.integers(1, 600))
def test_windows_are_the_fewest_that_hold_all_events_in_equal_shares(
    num_events, capacity
):
  cuts = window_cuts(num_events, capacity)
  lengths = [end - start for start, end in cuts]
  assert len(cuts) == -(-num_events // capacity)
  assert max(lengths) <= capacity and max(lengths) - min(lengths) <= 1
  assert [start for start, _ in cuts] == [0, *[end for _, end in cuts[:-1]]]
  assert cuts[-1][1] == num_events


@given(st.integers(2, 70_000))
def test_buckets_are_few_and_the_longest_is_the_model(max_length):
  lengths = bucket_lengths(max_length)
  assert lengths == sorted(set(lengths)) and lengths[-1] == max_length
  assert len(lengths) <= 2 + max(0, np.log2(max_length / 8))
  # Each about twice the one before, lengths being multiples of 8.
  assert all(b <= 2 * a + 8 for a, b in itertools.pairwise(lengths))
  # Balanced windows of a long sequence fill at least half of the model.
  if max_length >= 64:
    assert sum(n >= max_length / 2 for n in lengths) >= 2


def test_the_buckets_of_256():
  assert bucket_lengths(256) == [16, 32, 64, 128, 192, 256]


def sequence(length, first=5):
  return {
      "tokens": np.arange(first, first + length, dtype=np.int32),
      "time_gaps": np.arange(length, dtype=np.int32) * 10,
      "times": np.arange(length) * 1.0 + 100,
      "num_events": np.ones(length, np.int32),
      "level": np.arange(length, dtype=np.float32),
  }


def batcher_of(max_length, batch_size):
  names = ("tokens", "positions", "segment_ids", "time_gaps", "times", "level")
  table = Reading(features=("level",)).table
  return Batcher(max_length, batch_size, names, table)


def test_a_window_begins_with_cls_and_ends_with_padding():
  batcher = batcher_of(64, batch_size=2)
  assert batcher.add(7, sequence(30), 10, 30) is None
  (batch,) = batcher.rest()
  assert batch.rows == [7] and batch.num_tokens == [20]
  row = {name: values[0].tolist() for name, values in batch.arrays.items()}
  padding = [0] * 11
  assert row["tokens"] == [3, *range(15, 35), *padding]
  assert row["positions"] == [*range(21), *padding]
  assert row["segment_ids"] == [1] * 21 + padding
  assert row["time_gaps"] == [-1, *range(100, 300, 10)] + [-1] * 11
  assert row["times"] == [0, *range(20), *padding]
  assert not batch.arrays["segment_ids"][1].any()
  assert all(values.shape == (2, 32) for values in batch.arrays.values())


@pytest.mark.parametrize("order", [[3, 40, 20, 5, 60], [60, 5, 3, 20, 40]])
def test_the_shape_of_a_window_depends_on_its_own_length_alone(order):
  batcher = batcher_of(64, batch_size=2)
  shapes = {}
  batches = [batcher.add(n, sequence(n), 0, n) for n in order]
  for batch in [*filter(None, batches), *batcher.rest()]:
    for row in batch.rows:
      shapes[row] = batch.arrays["tokens"].shape[1]
  assert shapes == {3: 16, 5: 16, 20: 32, 40: 48, 60: 64}


def test_a_full_batch_is_handed_out_and_never_written_again():
  batcher = batcher_of(16, batch_size=2)
  batcher.add(0, sequence(3), 0, 3)
  batch = batcher.add(1, sequence(4), 0, 4)
  before = batch.arrays["tokens"].copy()
  batcher.add(2, sequence(5, first=50), 0, 5)
  np.testing.assert_array_equal(batch.arrays["tokens"], before)
  assert [b.rows for b in batcher.rest()] == [[2]]
  assert list(batcher.rest()) == []


@given(st.integers(1, 300), st.integers(1, 40), st.data())
def test_windows_with_a_stride_overlap_and_hold_every_token(
    num_tokens, capacity, data
):
  stride = data.draw(st.integers(1, capacity))
  cuts = window_cuts(num_tokens, capacity, Cut(stride=stride))
  seen = np.zeros(num_tokens, int)
  for start, end in cuts:
    assert end - start == min(capacity, num_tokens)
    seen[start:end] += 1
  assert (seen > 0).all()
  starts = [start for start, _ in cuts]
  assert all(0 < step <= stride for step in np.diff(starts))


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 400))
def test_only_the_last_tokens_are_read_when_told(num_tokens, capacity, last):
  for cut in (Cut(last=last), Cut(last=last, stride=capacity)):
    cuts = window_cuts(num_tokens, capacity, cut)
    assert cuts[0][0] == max(0, num_tokens - last)
    assert cuts[-1][1] == num_tokens


@pytest.mark.parametrize("cut", [Cut(stride=9), Cut(stride=0), Cut(last=0)])
def test_cuts_that_make_no_sense_are_refused(cut):
  with pytest.raises(UserError, match="stride|last"):
    cut.check(8)


def test_features_lie_beside_the_tokens():
  batcher = batcher_of(64, batch_size=2)
  batcher.add(0, sequence(30), 10, 30)
  (batch,) = batcher.rest()
  level = batch.arrays["level"]
  # CLS and padding have none.
  np.testing.assert_array_equal(
      level[0], [np.nan, *range(10, 30), *[np.nan] * 11]
  )
  assert level.dtype == np.float32 and np.isnan(level[1]).all()
