import numpy as np
import pytest

from behavior_lm.data.items.histories import Histories
from behavior_lm.data.items.histories import ItemSource
from behavior_lm.data.items.histories import read_histories
from behavior_lm.data.items.histories import tail_batch
from behavior_lm.data.items.vocabulary import fit_items
from behavior_lm.data.reading import Reading
from behavior_lm.logs.dataset import open_dataset
from tests.items import item_dataset

READING = Reading("previous")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  return open_dataset(item_dataset(tmp_path_factory.mktemp("items")))


def test_splits_are_joined_in_order_of_time(dataset):
  items = fit_items(dataset, max_items=0, min_count=1)
  names = ("train", "valid", "test")
  whole = read_histories(dataset, names, items, READING)
  parts = [
      read_histories(dataset, [name], items, READING, whole.users)
      for name in names
  ]
  for user, name in enumerate(whole.users):
    joined = np.concatenate([part.items(user) for part in parts])
    assert whole.items(user).tolist() == joined.tolist()
    assert [len(part.items(user)) for part in parts[1:]] == (
        [0, 0] if name == "0" else [1, 1]
    )
  one = whole.users.index("1")
  assert whole.items(one)[-1] == 2  # "rare" is unknown
  assert (np.diff(whole.times[whole.offsets[one] :][:3]) > 0).all()


def history(*sizes):
  total = sum(sizes)
  return Histories(
      [str(i) for i in range(len(sizes))],
      np.concatenate([[0], np.cumsum(sizes)]),
      np.arange(5, 5 + total, dtype=np.int32),
      np.arange(total) * 1_000_000,
      {},
  )


def test_the_tail_of_each_user_stands_behind_cls():
  batch = tail_batch(ItemSource(history(5, 0, 2), READING), [0, 1, 2], 4)
  assert batch["tokens"].tolist() == [
      [3, 7, 8, 9], [3, 0, 0, 0], [3, 10, 11, 0]
  ]
  assert batch["last"][:, 0].tolist() == [3, 0, 2]
  assert batch["segment_ids"].sum(1).tolist() == [4, 1, 3]
  # The gap before the first event of the row is known, as in training; the
  # first event ever has none.
  assert batch["time_gaps"][0].tolist() == [-1, 10, 10, 10]
  assert batch["time_gaps"][2].tolist() == [-1, -1, 10, -1]
