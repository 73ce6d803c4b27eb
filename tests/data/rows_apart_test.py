import pickle

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np

from behavior_lm.data.packed_rows import RowSource
from behavior_lm.data.rows_apart import move_apart
from tests.data.windows_test import windows_of

# Groups of each row, and their order.
ROWS = st.lists(
    st.lists(st.integers(0, 9), min_size=1, max_size=3),
    min_size=1,
    max_size=40,
).flatmap(
    lambda rows: st.tuples(
        st.just(rows), st.permutations(list(range(len(rows))))
    )
)


def too_near(order, groups, apart):
  """Pairs of rows that share a group, less than `apart` rows apart."""
  return sum(
      bool(set(groups[order[i]]) & set(groups[order[j]]))
      for i in range(len(order))
      for j in range(i + 1, min(i + apart, len(order)))
  )


@settings(max_examples=30)
@given(ROWS, st.integers(1, 6))
def test_rows_come_once_each_and_stay_where_none_is_too_near(found, apart):
  groups, order = found
  moved = move_apart(order, groups, apart)
  assert sorted(moved) == sorted(order)
  if not too_near(order, groups, apart):
    assert list(moved) == list(order)


def test_groups_of_equal_size_are_parted_to_the_end():
  # The worst order: 8 rows of each of 20 groups, one group after the other.
  groups = np.repeat(np.arange(20), 8)[:, None].tolist()
  order = np.random.default_rng(0).permutation(len(groups))
  assert too_near(order, groups, 6) > 20
  assert too_near(move_apart(order, groups, 6), groups, 6) <= 2


def test_one_group_alone_keeps_its_order():
  moved = move_apart([2, 0, 1], [[0], [0], [0]], 3)
  assert moved.tolist() == [2, 0, 1]


def sequences_of(rows, index):
  """Which sequences the windows of a row come from: tokens tell them."""
  row = rows[index]
  ids = row["segment_ids"]
  return [int(row["sequence"][ids == i][-1]) for i in range(1, ids.max() + 1)]


def number_sequence(number, _, tokens):
  return {"sequence": np.full(len(tokens.ids), number, np.int32)}


def make_rows(**options):
  lengths = [60] * 12 + [7, 9, 3, 11]
  windows = windows_of(lengths, max_length=8, annotate=number_sequence)
  return RowSource(windows, 8, 4, **options)


def repeats(rows, batch):
  """Windows of a sequence that its batch holds already, over four epochs."""
  found = 0
  for epoch in range(4):
    start = epoch * rows.rows_per_epoch
    for first in range(0, rows.rows_per_epoch - batch + 1, batch):
      inside = [
          sequence
          for place in range(first, first + batch)
          for sequence in set(sequences_of(rows, start + place))
      ]
      found += len(inside) - len(set(inside))
  return found


def test_a_batch_holds_a_sequence_once_where_it_can():
  assert repeats(make_rows(), 4) > 30
  assert repeats(make_rows(rows_apart=4), 4) <= 4


def test_every_row_comes_once_in_an_epoch_of_several_blocks():
  windows = windows_of([60] * 40, max_length=8, annotate=number_sequence)
  rows = RowSource(windows, 8, 4, rows_apart=2)
  assert rows.rows_per_epoch > 2 * 64 * 2
  found = [rows._shuffled(0, place) for place in range(rows.rows_per_epoch)]
  assert sorted(found) == list(range(rows.rows_per_epoch))
  assert repeats(rows, 2) < repeats(RowSource(windows, 8, 4), 2) / 4


def test_the_order_does_not_depend_on_where_reading_begins():
  forward, late = make_rows(rows_apart=4), make_rows(rows_apart=4)
  count = 3 * forward.rows_per_epoch
  rows = [forward[i]["tokens"] for i in range(count)]
  for index in reversed(range(0, count, 5)):
    np.testing.assert_array_equal(late[index]["tokens"], rows[index])
  again = pickle.loads(pickle.dumps(late))
  np.testing.assert_array_equal(again[count - 1]["tokens"], rows[-1])
