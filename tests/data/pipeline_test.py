import itertools

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.packed_rows import RowSource
from behavior_lm.data.pipeline import BatchSpec
from behavior_lm.data.pipeline import make_loader
from behavior_lm.logs import schema
from tests.data.windows_test import windows_of
from tests.logs.support.fakes import FakeSource

ONCE = dict(repeat=False, drop_remainder=False)
SPEC = BatchSpec(batch_size=4, max_length=16, max_segments=4)


def loader_of(windows, spec=SPEC, repeat=True, **options):
  rows = RowSource(windows, spec.max_length, spec.segments, repeat=repeat)
  return make_loader(rows, spec, **options)


def batches_of(windows, spec=SPEC, **options):
  iterator = iter(loader_of(windows, spec, **options))
  try:
    yield from iterator
  finally:
    iterator.close()


def equal(a, b):
  return a.keys() == b.keys() and all(
      np.array_equal(a[name], b[name]) for name in a
  )


@pytest.mark.slow
@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=12),
    st.integers(1, 5),
    st.booleans(),
)
def test_packing_keeps_every_event_and_every_sequence_whole(
    lengths, max_segments, pack
):
  spec = BatchSpec(4, 16, max_segments, pack=pack, prefetch=0)
  windows = windows_of(lengths, max_length=16)
  want = sorted(
      tuple(windows.read(0, i)["tokens"]) for i in range(len(windows))
  )
  got = []
  for batch in batches_of(windows, spec, **ONCE):
    assert batch["tokens"].shape == (4, 16)
    for row in range(4):
      ids = batch["segment_ids"][row]
      assert ids.max() <= (max_segments if pack else 1)
      for segment in range(1, ids.max() + 1):
        inside = ids == segment
        got.append(tuple(batch["tokens"][row][inside]))
        np.testing.assert_array_equal(
            batch["positions"][row][inside], np.arange(inside.sum())
        )
  assert sorted(got) == want


def test_padding_positions_hold_pad_and_no_time():
  windows = windows_of([3, 5], max_length=16)
  (batch,) = batches_of(windows, **ONCE)
  padding = batch["segment_ids"] == 0
  assert padding.any()
  assert (batch["tokens"][padding] == schema.PAD_ID).all()
  assert (batch["time_gaps"][padding] == -1).all()


def test_a_batch_holds_the_fields_that_are_asked_for():
  names = ("segment_ids", "tokens")
  (batch,) = batches_of(windows_of([3, 5], max_length=16), names=names, **ONCE)
  assert tuple(batch) == names


@pytest.mark.slow
def test_the_iterator_restores_to_the_identical_next_batch():
  make = lambda: iter(loader_of(windows_of([40, 7, 90, 13])))
  iterator = make()
  for _ in range(7):
    next(iterator)
  state = iterator.get_state()
  want = [next(iterator) for _ in range(30)]
  resumed = make()
  resumed.set_state(state)
  got = [next(resumed) for _ in range(30)]
  assert all(equal(a, b) for a, b in zip(got, want, strict=True))
  iterator.close()
  resumed.close()


def test_the_same_seed_gives_the_same_batches_and_another_does_not():
  first = lambda seed: list(
      itertools.islice(batches_of(windows_of([90, 40], seed=seed)), 5)
  )
  assert all(map(equal, first(1), first(1)))
  assert not all(map(equal, first(1), first(2)))


def test_hosts_share_an_epoch_without_overlap():
  lengths = [60, 33, 8, 21]
  windows = windows_of(lengths, max_length=16)
  rows = []
  for host in range(3):
    for batch in batches_of(windows, host_index=host, num_hosts=3, **ONCE):
      tokens = batch["tokens"]
      rows += tokens[tokens >= schema.NUM_SPECIAL].tolist()
  want = np.concatenate([np.arange(n) for n in lengths]) + schema.NUM_SPECIAL
  assert sorted(rows) == sorted(want.tolist())


def test_windows_that_do_not_fit_in_a_row_are_refused():
  with pytest.raises(UserError, match="20 tokens do not fit in rows of 16"):
    loader_of(windows_of([40], max_length=20))


def test_more_hosts_than_windows_are_refused():
  with pytest.raises(UserError, match="some would get none"):
    loader_of(windows_of([5]), host_index=0, num_hosts=2)


class DamagedSource(FakeSource):
  """A source whose third sequence cannot be read: it was damaged."""

  def __getitem__(self, index):
    if index == 2:
      raise UserError("shard-0: sequence 2 of train is damaged")
    return super().__getitem__(index)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_damaged_sequence_ends_the_batches_in_one_error(prefetch):
  """Whatever thread met it: it is neither left out nor wrapped."""
  windows = windows_of([5, 5, 5, 5], max_length=16)
  windows.tokens.source = DamagedSource([5, 5, 5, 5])
  spec = BatchSpec(batch_size=1, max_length=16, prefetch=prefetch)
  with pytest.raises(UserError, match="^shard-0: sequence 2 of train is dam"):
    list(batches_of(windows, spec, **ONCE))
