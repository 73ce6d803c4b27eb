import time

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data import packing
from behavior_lm.data.packing import pack

CAPACITY = 20
LENGTHS = st.lists(st.integers(1, CAPACITY), max_size=40)
METHODS = st.sampled_from(["first_fit", "best_fit"])
LIMITS = st.one_of(st.none(), st.integers(1, 4))


def slow_pack(lengths, capacity, method, max_segments, open_rows):
  """One plain Python list a row, all of them looked at for each piece."""
  rows, is_open, placed = [], [], []
  for length in lengths:
    fits = [
        row
        for row, pieces in enumerate(rows)
        if is_open[row] and sum(pieces) + length <= capacity
    ]
    if fits and method == "best_fit":
      row = max(fits, key=lambda row: (sum(rows[row]), -row))
    elif fits:
      row = fits[0]
    else:
      opened = [row for row in range(len(rows)) if is_open[row]]
      if open_rows is not None and len(opened) == open_rows:
        if method == "best_fit":
          closed = max(opened, key=lambda row: (sum(rows[row]), -row))
        else:
          closed = opened[0]
        is_open[closed] = False
      row = len(rows)
      rows.append([])
      is_open.append(True)
    rows[row].append(length)
    placed.append(row)
    if sum(rows[row]) == capacity or len(rows[row]) == max_segments:
      is_open[row] = False
  return placed


@given(LENGTHS, METHODS, LIMITS, LIMITS)
def test_each_piece_goes_where_the_plain_loop_puts_it(
    lengths, method, max_segments, open_rows
):
  got = pack(
      np.array(lengths, int),
      CAPACITY,
      method=method,
      max_segments=max_segments,
      open_rows=open_rows,
  )
  want = slow_pack(lengths, CAPACITY, method, max_segments, open_rows)
  assert got.rows.tolist() == want


@given(LENGTHS, METHODS, LIMITS, LIMITS, st.booleans())
def test_no_row_is_over_full_and_every_token_has_its_own_place(
    lengths, method, max_segments, open_rows, decreasing
):
  got = pack(
      np.array(lengths, int),
      CAPACITY,
      method=method,
      max_segments=max_segments,
      open_rows=open_rows,
      decreasing=decreasing,
  )
  places = np.zeros((got.num_rows, CAPACITY), int)
  for row, offset, length in zip(
      got.rows, got.offsets, lengths, strict=True
  ):
    assert offset >= 0 and offset + length <= CAPACITY
    places[row, offset : offset + length] += 1
  assert places.max(initial=0) <= 1
  # Padding is at the end, no row is empty.
  assert (np.diff(places, axis=1) <= 0).all()
  assert places[:, 0].all()
  found = packing.stats(got)
  counts = np.bincount(got.rows, minlength=got.num_rows)
  assert max_segments is None or counts.max(initial=0) <= max_segments
  assert found.max_segments == counts.max(initial=0)
  assert found.rows == got.num_rows and found.cut_sequences == 0
  if lengths:
    assert found.padding_share == pytest.approx(1 - places.mean())
    assert found.segments_a_row == pytest.approx(len(lengths) / got.num_rows)
  order, bounds = packing.members(got)
  assert sorted(order.tolist()) == list(range(len(lengths)))
  for row in range(got.num_rows):
    inside = order[bounds[row] : bounds[row + 1]]
    assert (got.rows[inside] == row).all() and len(inside)
    assert (np.diff(got.offsets[inside]) > 0).all()
  ids = packing.segment_ids(got)
  assert ((ids > 0) == places).all()
  for row in range(got.num_rows):
    assert sorted(set(ids[row]) - {0}) == list(range(1, counts[row] + 1))
    assert (np.diff(ids[row][ids[row] > 0]) >= 0).all()


@given(LENGTHS, METHODS)
def test_without_limits_at_most_one_row_is_half_empty(lengths, method):
  got = pack(np.array(lengths, int), CAPACITY, method=method)
  used = np.bincount(got.rows, lengths, got.num_rows)
  # Two such rows would have been one.
  assert (used <= CAPACITY / 2).sum() <= 1


@given(LENGTHS, METHODS, LIMITS, st.randoms(use_true_random=False))
def test_longest_first_does_not_depend_on_the_order(
    lengths, method, max_segments, random
):
  shuffled = list(lengths)
  random.shuffle(shuffled)

  def rows(values):
    got = pack(
        np.array(values, int),
        CAPACITY,
        method=method,
        max_segments=max_segments,
        decreasing=True,
    )
    return sorted(
        tuple(sorted(np.array(values)[got.rows == row].tolist()))
        for row in range(got.num_rows)
    )

  assert rows(lengths) == rows(shuffled)


def test_in_the_given_order_the_order_matters():
  # So nobody should promise otherwise.
  first = pack(np.array([11, 9, 8, 12]), 20)
  other = pack(np.array([8, 9, 11, 12]), 20)
  assert (first.num_rows, other.num_rows) == (2, 3)


@given(
    st.lists(st.integers(0, 60), max_size=12),
    st.integers(1, 8),
    st.integers(0, 3),
    st.integers(0, 2),
    METHODS,
)
def test_each_event_counts_once_whatever_is_cut(
    lengths, step, context, overhead, method
):
  capacity = step + context + overhead
  pieces = packing.cut(
      np.array(lengths, int), capacity, context=context, overhead=overhead
  )
  got = pack(pieces.lengths, capacity, method=method, open_rows=3)
  weights = packing.loss_weights(got, pieces)
  counted = [np.zeros(length, int) for length in lengths]
  for piece, (sequence, start, num_events) in enumerate(
      zip(pieces.sequence, pieces.start, pieces.num_events, strict=True)
  ):
    begin = got.offsets[piece]
    part = weights[got.rows[piece]][begin : begin + got.lengths[piece]]
    assert not part[:overhead].any()
    counted[sequence][start : start + num_events] += part[overhead:].astype(int)
    # What comes before a window's first new event is the context it asked for.
    assert pieces.context[piece] == (context if start else 0)
  for counts in counted:
    assert (counts == 1).all()
  assert weights.sum() == sum(lengths)
  cut = packing.stats(got, pieces).cut_sequences
  assert cut == sum(length > capacity - overhead for length in lengths)


def test_windows_by_hand():
  pieces = packing.cut(np.array([10, 0, 3]), 5, context=1, overhead=1)
  assert pieces.sequence.tolist() == [0, 0, 0, 2]
  assert pieces.start.tolist() == [0, 3, 6, 0]
  assert pieces.num_events.tolist() == [4, 4, 4, 3]
  assert pieces.context.tolist() == [0, 1, 1, 0]
  assert pieces.lengths.tolist() == [5, 5, 5, 4]
  weights = packing.loss_weights(pack(pieces.lengths, 5), pieces)
  assert weights.tolist() == [
      [0, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 1, 1, 1], [0, 1, 1, 1, 0],
  ]


def test_windows_without_context_are_as_few_as_possible():
  lengths = np.arange(200)
  pieces = packing.cut(lengths, 8, overhead=1)
  windows = np.bincount(pieces.sequence, minlength=200)
  assert windows.tolist() == [-(-n // 7) for n in range(200)]
  # All are full but the last of each.
  last = np.append(np.diff(pieces.sequence) > 0, True)
  assert (pieces.lengths[~last] == 8).all()


def test_best_fit_pads_less_than_first_fit_and_more_open_rows_help():
  rng = np.random.default_rng(0)
  lengths = np.clip(rng.lognormal(6.5, 1, 5_000), 1, 4_096).astype(int)

  def padding(**options):
    return packing.stats(pack(lengths, 4_096, **options)).padding_share

  best = [padding(open_rows=rows) for rows in (1, 4, 16, 64, None)]
  assert best == sorted(best, reverse=True)
  assert padding(method="first_fit", open_rows=64) > best[3]
  assert padding(decreasing=True) < best[-1] < 0.02


@pytest.mark.parametrize("method", ["first_fit", "best_fit"])
def test_many_lengths_take_seconds(method):
  rng = np.random.default_rng(0)
  lengths = np.clip(rng.lognormal(7.5, 1, 200_000), 1, 4_096).astype(int)
  started = time.process_time()
  pack(lengths, 4_096, method=method)
  # About 1.5 s where measured; quadratic search would take hours.
  assert time.process_time() - started < 30


@pytest.mark.parametrize(
    ("lengths", "options", "message"),
    [
        ([3, 21], {}, "piece 1 has 21 tokens, a row has 20"),
        ([3, 0], {}, "piece 1 has 0 tokens"),
        ([3], dict(max_segments=0), "max_segments is 0"),
        ([3], dict(open_rows=0), "open_rows is 0"),
        ([3], dict(method="worst_fit"), "'worst_fit'; choose"),
        ([[3]], {}, "list of numbers"),
        ([-1], {}, "not negative"),
    ],
)
def test_wrong_use_is_an_error(lengths, options, message):
  with pytest.raises(UserError, match=message):
    pack(np.array(lengths), CAPACITY, **options)


@pytest.mark.parametrize("options", [dict(context=4), dict(overhead=5)])
def test_a_window_without_room_for_an_event_is_an_error(options):
  with pytest.raises(UserError, match="no room for a new event"):
    packing.cut(np.array([9]), 5, **({"overhead": 1} | options))


def test_nothing_needs_no_row():
  got = pack(np.zeros(0, int), 5)
  assert got.num_rows == 0
  assert packing.stats(got) == packing.PackingStats(0, 0.0, 0, 0.0, 0)
  assert packing.segment_ids(got).shape == (0, 5)
