import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.items.vocabulary import extend_items
from behavior_lm.data.items.vocabulary import fit_items
from behavior_lm.data.items.vocabulary import ItemVocabulary
from behavior_lm.data.items.vocabulary import load_items


class FakeDataset:
  path = "data"
  pairs = pl.DataFrame({
      "event_id": ["click", "buy", "click", "login", "click", "click"],
      "design_id": ["7", "7", "x", "0", "late", "b"],
      "train_count": [2, 3, 9, 4, 0, 1],
  })


def test_items_are_those_of_training_the_most_frequent_first():
  found = fit_items(FakeDataset(), max_items=0, min_count=1)
  assert found.ids == ["x", "7", "b"]
  assert found.counts.tolist() == [9, 5, 1]
  assert found.vocab_size == 8
  assert found.tokens(["b", "late", "x"]).tolist() == [7, 2, 5]
  # "0" is an event without an item.
  pairs = FakeDataset.pairs
  assert found.pair_tokens(pairs).tolist() == [6, 6, 5, 0, 2, 7]
  assert found.pair_actions(pairs).tolist() == [1, 3, 1, 2, 1, 1]


def test_rare_items_are_unknown():
  assert fit_items(FakeDataset(), max_items=1, min_count=1).ids == ["x"]
  assert fit_items(FakeDataset(), max_items=0, min_count=2).ids == ["x", "7"]
  with pytest.raises(UserError, match="min_count"):
    fit_items(FakeDataset(), max_items=0, min_count=10)


def test_a_saved_vocabulary_is_read_again(tmp_path):
  found = fit_items(FakeDataset(), max_items=0, min_count=1)
  found.save(tmp_path)
  again = load_items(tmp_path)
  assert isinstance(again, ItemVocabulary)
  assert again.items.equals(found.items)
  (tmp_path / "items.parquet").write_bytes(b"no")
  with pytest.raises(UserError, match=r"items\.parquet"):
    load_items(tmp_path)


def test_newer_items_stand_behind_the_known_ones_and_counts_add_up():
  known = fit_items(FakeDataset(), max_items=0, min_count=1)
  newer = ItemVocabulary(
      pl.DataFrame({"design_id": ["new", "7"], "train_count": [8, 2]}),
      pl.DataFrame({"event_id": ["cart", "buy"], "train_count": [6, 4]}),
  )
  found = extend_items(known, newer)
  assert found.ids == ["x", "7", "b", "new"]
  assert found.counts.tolist() == [9, 7, 1, 8]
  assert found.actions["event_id"].to_list()[-1] == "cart"
  assert found.actions["event_id"][:3].equals(known.actions["event_id"])
