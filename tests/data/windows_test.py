import pickle

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.data import schema
from behavior_lm.data.windows import mix64
from behavior_lm.data.windows import window_bounds
from behavior_lm.data.windows import WindowSource
from behavior_lm.errors import UserError
from tests.data.fakes import FakeSource

LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=8)


def windows_of(lengths, **options):
  options = {"max_length": 9, "seed": 3} | options
  source = FakeSource(lengths)
  table = np.arange(max(lengths), dtype=np.int32) + schema.NUM_SPECIAL
  return WindowSource(source, np.asarray(lengths), table, **options)


@given(LENGTHS, st.integers(2, 12), st.integers(0, 5), st.booleans())
def test_every_epoch_visits_every_event_exactly_once(
    lengths, max_length, epoch, shuffle
):
  windows = windows_of(lengths, max_length=max_length, shuffle=shuffle)
  seen = [np.zeros(n, int) for n in lengths]
  first = epoch * windows.windows_per_epoch
  for index in range(first, first + windows.windows_per_epoch):
    sequence, start, end = windows.locate(index)
    assert 0 < end - start < max_length
    seen[sequence][start:end] += 1
  assert all((count == 1).all() for count in seen)


@given(st.integers(1, 500), st.integers(1, 40), st.integers(0, 600))
def test_all_windows_are_full_but_the_short_one(num_events, capacity, draw):
  num_windows = -(-num_events // capacity)
  short = draw % num_windows
  bounds = [
      window_bounds(num_events, capacity, w, short) for w in range(num_windows)
  ]
  assert bounds[0][0] == 0 and bounds[-1][1] == num_events
  assert all(a[1] == b[0] for a, b in zip(bounds, bounds[1:], strict=False))
  full = [end - start for w, (start, end) in enumerate(bounds) if w != short]
  assert full == [capacity] * (num_windows - 1)


def test_cuts_and_order_move_between_epochs():
  windows = windows_of([1000], max_length=33)
  per_epoch = windows.windows_per_epoch
  epochs = [
      [windows.locate(e * per_epoch + i)[1] for i in range(per_epoch)]
      for e in range(6)
  ]
  assert len({tuple(starts) for starts in epochs}) == 6
  assert len({tuple(sorted(starts)) for starts in epochs}) > 1


def test_an_element_holds_cls_tokens_gaps_and_times_of_its_window():
  windows = windows_of([5], max_length=4, shuffle=False)
  element = windows[0]
  assert element["tokens"].tolist() == [schema.CLS_ID, 5, 6, 7]
  # CLS has a hidden gap; the last token still knows what came after it.
  assert element["time_gaps"].tolist() == [-1, 3, 3, 3]
  np.testing.assert_allclose(element["times"], [0, 0, 0.3, 0.6], atol=1e-6)
  second = windows[1]
  assert second["tokens"].tolist() == [schema.CLS_ID, 8, 9]
  assert second["time_gaps"].tolist() == [-1, 3, 0]
  assert second["times"][1] == 0


def test_annotations_are_cut_with_the_tokens():
  windows = windows_of(
      [6],
      max_length=4,
      shuffle=False,
      annotate=lambda i, example: {"code": example["pair"] + 100},
  )
  assert windows[1]["code"].tolist() == [0, 103, 104, 105]


def test_elements_do_not_depend_on_who_makes_them():
  windows = windows_of([50, 3, 20])
  copy = pickle.loads(pickle.dumps(windows))
  for index in (0, 7, 100):
    np.testing.assert_array_equal(
        windows[index]["tokens"], copy[index]["tokens"]
    )


def test_a_wrong_length_in_the_index_is_found():
  windows = windows_of([5])
  windows.source.lengths = [6]
  with pytest.raises(UserError, match="the dataset is damaged"):
    windows[0]


def test_windows_without_room_for_an_event_are_refused():
  with pytest.raises(UserError, match="2 is the least"):
    windows_of([5], max_length=1)


def test_an_empty_split_is_an_error():
  with pytest.raises(UserError, match="no events"):
    WindowSource(FakeSource([]), np.asarray([]), np.zeros(1), max_length=8)


def test_mix64_is_the_same_on_every_machine():
  # golden: a changed hash would reorder the data of every resumed run
  assert mix64(1, 2, 3) == mix64(1, 2, 3)
  assert mix64(1, 2) != mix64(2, 1)
  assert mix64(0) == 0xE220A8397B1DCDAF  # splitmix64's first output for 0
