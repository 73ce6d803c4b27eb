"""A run that goes on from an older ranker with newer rows."""

import jax
import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.features import FeatureSpace
from behavior_lm.recipes.ranking import Ranking
from behavior_lm.recipes.ranking_run import load_ranking_run
from behavior_lm.recipes.train import train
from tests.requests_shop import shop_config

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow

ONE_STEP = dict(
    epochs=0,
    total_steps=1,
    keep_best__metric="",
    keep_best__patience=0,
    evals__valid__every=0,
    data__test="",
    model__mlp_dims="",
    model__products=False,
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
  return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def older(shop, tmp_path_factory):
  folder = tmp_path_factory.mktemp("run") / "older"
  train(shop_config(shop, "none", **ONE_STEP), folder)
  return folder


def newer_config(shop, older, **changes):
  """The valid rows are the newer days; one of them shows a new item."""
  rows = pl.read_parquet(shop / "valid.parquet")
  first = pl.int_range(pl.len()) == 0
  rows.with_columns(
      pl.when(first).then(pl.lit("fresh")).otherwise("item").alias("item"),
      pl.when(first).then(pl.lit("pink")).otherwise("tags").alias("tags"),
  ).write_parquet(shop / "newer.parquet")
  return shop_config(
      shop,
      "none",
      **ONE_STEP
      | dict(
          data__train="newer.parquet",
          data__valid="",
          data__past="train.parquet",
          init_from__model=str(older),
          # Nothing moves, so the older ranker can be seen in the newer one.
          optim__learning_rate=0.0,
      )
      | changes,
  )


def test_known_ids_keep_their_vectors_and_new_ones_are_added(
    shop, older, tmp_path
):
  config = newer_config(shop, older)
  assert train(config, tmp_path / "newer") == "finished"
  before, after = load_ranking_run(older), load_ranking_run(tmp_path / "newer")
  for name, table in before.space.tables.items():
    got = after.space.tables[name]
    known = pl.Series(table.values, dtype=pl.String)
    np.testing.assert_array_equal(got.ids(known), table.ids(known))
  fresh = after.space.tables["item"].ids(pl.Series(["fresh"]))[0]
  assert fresh >= before.space.num_ids
  assert after.space.num_ids > before.space.num_ids
  assert after.space.normalisers == before.space.normalisers

  old, new = dict(before.params), dict(after.params)
  for name in ("vectors", "wide"):
    rows = np.asarray(jax.tree.leaves(new.pop(name))[0])
    want = np.asarray(jax.tree.leaves(old.pop(name))[0])
    np.testing.assert_array_equal(rows[: len(want)], want)
    assert len(rows) == after.space.num_ids
  jax.tree.map(np.testing.assert_array_equal, old, new)

  # The same command, later: the features are those of the run.
  again = Ranking(newer_config(shop, older), tmp_path / "newer")
  assert again.data.space.tables == after.space.tables


def test_rows_of_older_days_are_actions_of_newer_ones(shop, older):
  with_past = Ranking(newer_config(shop, older)).train
  without = Ranking(newer_config(shop, older, data__past="")).train
  count = lambda rows: (rows.batch(np.arange(len(rows)))["action_types"] > 0)
  assert count(with_past).sum() > count(without).sum()


def test_a_table_grows_again_and_is_read_as_it_was_written(older, tmp_path):
  space = FeatureSpace.load(older)
  items = space.tables["item"]
  once = items.extended(["x", "y"], space.num_ids)
  twice = once.extended(["z"], space.num_ids + 7)
  assert twice.extended([], 99) is twice
  got = twice.ids(pl.Series(["z", "y", items.values[0], "none", None]))
  assert got.tolist() == [
      space.num_ids + 7,
      space.num_ids + 1,
      items.offset + 2,
      items.unknown,
      items.missing,
  ]
  grown = FeatureSpace(space.schema, space.normalisers, {"item": twice})
  grown.save(tmp_path)
  assert FeatureSpace.load(tmp_path).tables["item"] == twice


def test_a_ranker_of_other_features_is_refused(shop, older):
  config = newer_config(shop, older, data__features__dense={"price": "none"})
  with pytest.raises(UserError, match="older: has other features or actions"):
    Ranking(config)
