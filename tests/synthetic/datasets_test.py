"""Generated datasets, for runs that have none."""

import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.synthetic.datasets import make_dataset


@pytest.mark.parametrize(
    ("kind", "sizes", "splits"),
    [
        ("shop", dict(num_users=12, num_items=9, num_categories=3),
         {"train", "valid_users", "heldout_users"}),
        ("orders", dict(num_users=12, num_items=9, num_categories=3),
         {"train", "valid", "test"}),
        ("game", dict(num_users=6), {"train", "test"}),
        ("visits", dict(num_users=3, visits=2), {"train", "test"}),
    ],
)  # fmt: skip
def test_each_kind_has_its_splits_and_is_made_once(
    tmp_path, kind, sizes, splits
):
  folder = make_dataset(kind, tmp_path / "data", **sizes)
  found = open_dataset(folder)
  assert set(found.splits) == splits
  again = open_dataset(make_dataset(kind, tmp_path / "data"))
  assert again.meta["fingerprint"] == found.meta["fingerprint"]


def test_an_unknown_kind_is_refused(tmp_path):
  with pytest.raises(UserError, match="known are game, shop, orders, visits"):
    make_dataset("moon", tmp_path / "data")
