import numpy as np

from behavior_lm.data.pipeline import BatchSpec
from behavior_lm.data.pipeline import make_loader
from behavior_lm.data.table_rows import TableRows

COLUMNS = {
    "dense": np.arange(14, dtype=np.float32).reshape(7, 2),
    "domain": np.arange(7, dtype=np.int32),
}


def test_each_epoch_has_every_row_once_in_another_order():
  rows = TableRows(COLUMNS, seed=1)
  epochs = [
      [int(rows[7 * epoch + place]["domain"]) for place in range(7)]
      for epoch in range(3)
  ]
  assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
  assert len({tuple(epoch) for epoch in epochs}) == 3
  again = TableRows(COLUMNS, seed=1)
  assert [int(again[n]["domain"]) for n in range(7)] == epochs[0]


def test_batches_of_a_table_are_in_order_and_filled_up():
  rows = TableRows(COLUMNS, train=False)
  spec = BatchSpec(batch_size=4, max_length=1, prefetch=0)
  names = ("dense", "sample")
  batches = list(make_loader(rows, spec, drop_remainder=False, names=names))
  assert [b["sample"].tolist() for b in batches] == [
      [0, 1, 2, 3], [4, 5, 6, -1]
  ]
  np.testing.assert_array_equal(batches[1]["dense"][2], [12, 13])
