import ml_collections
import numpy as np
import polars as pl
import pytest

from behavior_lm.data.samples import SampleColumns
from behavior_lm.data.samples import SampleTable
from behavior_lm.recipes.shared.sample_sides import make_sides
from configs.finetune import get_config


@pytest.fixture(scope="module")
def table():
  """100 users in order of time, a fifth of them bots."""
  start = 1_700_000_000_000_000
  frame = pl.DataFrame({
      "user_id": [f"u{i:03}" for i in range(100)],
      "sample/time": start + np.arange(100) * 86_400_000_000,
      "label/bot": [int(i % 5 == 0) for i in range(100)],
      "sample/weight": [1.0] * 100,
  }).with_columns(pl.col("sample/time").cast(pl.Datetime("us", "UTC")))
  columns = SampleColumns(labels={"bot": "binary"}, time="time")
  return SampleTable(columns, frame, {}, pl.DataFrame())


def sides(table, **changes):
  section = get_config("task=bot").split.to_dict() | changes
  return make_sides(table, ml_collections.ConfigDict(section))


def share_of_bots(table, rows):
  return table.frame["label/bot"].gather(rows).mean()


def test_every_user_is_tested_in_one_fold_and_on_one_side(table):
  tested = []
  for fold in range(5):
    found = sides(table, kind="folds", fold=fold)
    everyone = np.concatenate([found[k] for k in ("train", "valid", "test")])
    assert sorted(everyone) == list(range(100))
    tested += found["test"].tolist()
    for rows in found.values():
      assert share_of_bots(table, rows) == pytest.approx(0.2, abs=0.09)
  assert sorted(tested) == list(range(100))


def test_seeds_divide_in_other_ways(table):
  one, other = (sides(table, kind="folds", seed=seed) for seed in (0, 1))
  assert set(one["test"]) != set(other["test"])


def test_shares_are_kept(table):
  found = sides(table)
  assert [len(found[k]) for k in ("train", "valid", "test")] == [65, 15, 20]


def test_fewer_labels_are_a_part_of_the_training_side_alone(table):
  whole, few = sides(table), sides(table, train_size=10)
  assert len(few["train"]) == 10 and set(few["train"]) < set(whole["train"])
  np.testing.assert_array_equal(few["test"], whole["test"])
  assert share_of_bots(table, few["train"]) == pytest.approx(0.2, abs=0.11)


def test_sides_by_time_follow_each_other(table):
  found = sides(
      table, kind="time", valid_time="2024-01-13", split_time="2024-02-02"
  )
  order = [found[name] for name in ("train", "valid", "test")]
  assert order[0].max() < order[1].min() and order[1].max() < order[2].min()
