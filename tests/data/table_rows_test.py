import numpy as np
import pytest

from behavior_lm.data.pipeline import BatchSpec
from behavior_lm.data.pipeline import make_loader
from behavior_lm.data.table_rows import TableBatches
from behavior_lm.data.table_rows import TableRows

COLUMNS = {
    "dense": np.arange(14, dtype=np.float32).reshape(7, 2),
    "domain": np.arange(7, dtype=np.int32),
}


def test_each_epoch_has_every_row_once_in_another_order():
  batches = TableBatches(TableRows(COLUMNS, seed=1), 4, names=["domain"])
  read = np.concatenate([batches[n]["domain"] for n in range(6)])[:21]
  epochs = read.reshape(3, 7)
  assert (np.sort(epochs) == np.arange(7)).all()
  assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3
  again = TableBatches(TableRows(COLUMNS, seed=1), 4, names=["domain"])
  np.testing.assert_array_equal(again[3]["domain"], batches[3]["domain"])


def test_hosts_share_the_rows_of_a_batch():
  rows = TableRows(COLUMNS, seed=1)
  whole = TableBatches(rows, 4, names=["domain"])[1]["domain"]
  parts = [
      TableBatches(rows, 2, host_index=host, num_hosts=2, names=["domain"])[1]
      for host in range(2)
  ]
  for host, part in enumerate(parts):
    np.testing.assert_array_equal(part["domain"], whole[host::2])


@pytest.mark.parametrize("drop", [False, True])
def test_batches_of_a_table_are_in_order_and_filled_up(drop):
  rows = TableRows(COLUMNS, train=False)
  spec = BatchSpec(batch_size=4, max_length=1, prefetch=0)
  names = ("dense", "sample")
  batches = list(make_loader(rows, spec, drop_remainder=drop, names=names))
  assert [b["sample"].tolist() for b in batches] == [
      [0, 1, 2, 3], [4, 5, 6, -1]
  ][: 1 if drop else 2]
  np.testing.assert_array_equal(batches[0]["dense"], COLUMNS["dense"][:4])


def test_an_iterator_over_a_table_is_restored():
  spec = BatchSpec(batch_size=4, max_length=1, prefetch=2)
  read = lambda: iter(make_loader(TableRows(COLUMNS), spec, names=["domain"]))
  first = read()
  for _ in range(3):
    next(first)
  state = first.get_state()
  want = next(first)["domain"]
  first.close()
  second = read()
  second.set_state(state)
  np.testing.assert_array_equal(next(second)["domain"], want)
  second.close()
