import pickle

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.packed_rows import plan
from behavior_lm.data.packed_rows import RowSource
from tests.data.windows_test import windows_of

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=10)


def rows_of(lengths, *, max_length=16, max_segments=4, **options):
  windows = windows_of(lengths, max_length=max_length)
  return RowSource(windows, max_length, max_segments, **options)


def segments(row):
  """Tokens of each segment of a row."""
  ids = row["segment_ids"]
  return [tuple(row["tokens"][ids == i]) for i in range(1, ids.max() + 1)]


@pytest.mark.slow
@settings(max_examples=20)
@given(LENGTHS, st.integers(1, 5), st.sampled_from([1, 3, 70]))
def test_epochs_of_rows_hold_every_window_once_each(lengths, size, epochs):
  rows = rows_of(lengths, max_segments=size)
  place = 0
  for epoch in range(epochs):
    want = [
        tuple(rows.windows.read(epoch, i)["tokens"])
        for i in range(len(rows.windows))
    ]
    got = []
    while len(got) < len(want):
      got += segments(rows[place])
      place += 1
    assert sorted(got) == sorted(want)


@pytest.mark.slow
def test_rows_are_the_same_wherever_reading_begins():
  forward = rows_of([50, 41, 20, 17])
  rows = [forward[i] for i in range(70 * forward.rows_per_epoch)]
  backward = rows_of([50, 41, 20, 17])
  for index in reversed(range(0, len(rows), 7)):
    for name, values in backward[index].items():
      np.testing.assert_array_equal(values, rows[index][name])


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 16), min_size=1, max_size=60), st.integers(1, 5)
)
def test_planned_rows_hold_what_fits(lengths, max_segments):
  lengths = np.asarray(lengths)
  order, bounds = plan(lengths, 16, max_segments)
  assert sorted(order) == list(range(len(lengths)))
  for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
    assert 1 <= end - begin <= max_segments
    assert lengths[order[begin:end]].sum() <= 16


def test_plans_are_made_in_parts():
  lengths = np.random.default_rng(0).integers(1, 16, 1000)
  whole = plan(lengths, 16, 8)
  order, bounds = plan(lengths, 16, 8, together=100)
  assert sorted(order) == list(range(1000)) and bounds[-1] == 1000
  for begin, end in zip(bounds[:-1], bounds[1:], strict=True):
    assert lengths[order[begin:end]].sum() <= 16
    assert len(set(order[begin:end] // 100)) == 1
  assert len(bounds) < 1.1 * len(whole[1])


def test_user_days_leave_little_padding():
  # Log-normal with a mean of 3,000, cut at 4,096: the aim is 2 %.
  rng = np.random.default_rng(0)
  lengths = rng.lognormal(np.log(3000) - 0.5, 1.0, 20_000).astype(np.int64) + 2
  windows = np.concatenate([
      np.full((lengths // 4096).sum(), 4096), lengths % 4096
  ])
  windows = windows[windows > 0]
  _, bounds = plan(windows, 4096, 16)
  assert 1 - windows.sum() / (4096 * (len(bounds) - 1)) < 0.02


def test_rows_are_shuffled_and_again_each_epoch():
  # None is cut: the rows of all epochs are the same.
  rows = rows_of([9, 14, 3, 15, 11, 7, 12, 5])
  n = rows.rows_per_epoch
  epochs = [
      [tuple(rows[e * n + i]["segment_ids"]) for i in range(n)]
      for e in range(4)
  ]
  assert len({tuple(epoch) for epoch in epochs}) > 1
  assert len({tuple(sorted(epoch)) for epoch in epochs}) == 1
  still = rows_of([9, 14, 3, 15, 11, 7, 12, 5], shuffle=False)
  first = [tuple(still[i]["segment_ids"]) for i in range(n)]
  assert first == [tuple(still[n + i]["segment_ids"]) for i in range(n)]


def test_rows_do_not_depend_on_who_makes_them():
  rows = rows_of([50, 3, 20])
  copy = pickle.loads(pickle.dumps(rows))
  for index in (0, 3, 100):
    for name, values in rows[index].items():
      np.testing.assert_array_equal(values, copy[index][name])


def test_padding_has_no_token_and_no_time():
  row = rows_of([3])[0]
  assert row["segment_ids"].tolist() == [1] * 4 + [0] * 12
  assert row["positions"].tolist() == [0, 1, 2, 3] + [0] * 12
  assert row["tokens"][4:].tolist() == [0] * 12
  assert row["time_gaps"][4:].tolist() == [-1] * 12


def test_windows_longer_than_rows_are_refused():
  with pytest.raises(UserError, match="20 tokens do not fit in rows of 16"):
    RowSource(windows_of([40], max_length=20), 16, 4)
