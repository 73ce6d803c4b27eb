"""A ranking run from tables to scores, and what it refuses."""

import json

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.inference.rank_table import rank_table
from behavior_lm.inference.ranker import RequestRanker
from behavior_lm.inference.ranker import UserActions
from behavior_lm.recipes.evaluate_requests import evaluate_requests
from behavior_lm.recipes.evaluate_requests import open_requests
from behavior_lm.recipes.ranking import Ranking
from behavior_lm.recipes.ranking_run import load_ranking_run
from behavior_lm.recipes.train import train
from experiments.benchmarks.rank.latency import measure
from tests.requests_shop import shop_config

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
  return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def run(shop, tmp_path_factory):
  folder = tmp_path_factory.mktemp("run") / "run"
  config = shop_config(shop, keep_best__metric="", keep_best__patience=0)
  assert train(config, folder) == "finished"
  return folder


@pytest.fixture(scope="module")
def items(shop):
  train_rows = pl.read_parquet(shop / "train.parquet")
  return train_rows.unique("item").select("item", "tags", "price").sort("item")


@pytest.fixture(scope="module")
def ranker(run, items):
  return RequestRanker.load(run, items, sizes=(4, 2))


def test_metrics_of_both_heads_are_written_while_training(run):
  lines = (run / "metrics.jsonl").read_text().splitlines()
  names = set().union(*(json.loads(line) for line in lines))
  wanted = ("auc", "uauc", "log_loss", "calibration", "hit@3")
  for head in ("click", "hide"):
    for name in wanted:
      assert f"eval/valid/{head}/{name}" in names


def test_a_run_is_resumed_on_its_own_rows_alone(run, shop):
  quiet = dict(keep_best__metric="", keep_best__patience=0)
  assert Ranking(shop_config(shop, **quiet), run).rows_per_epoch > 0
  other = shop_config(shop, data__train="valid.parquet", **quiet)
  with pytest.raises(UserError, match="was trained on other rows"):
    Ranking(other, run)


def test_an_evaluation_stands_beside_plain_models(run):
  record = evaluate_requests([run], "test")
  models = [row["model"] for row in record["rows"]]
  assert models == ["average", "logistic regression", "boosted trees"]
  assert record["rows"][0]["difference"]["baseline"] in models[1:]


def test_a_served_request_equals_the_table(run, ranker, shop, tmp_path):
  out = tmp_path / "scores.parquet"
  rank_table(run, shop / "test.parquet", out)
  scores = pl.read_parquet(out)
  first = scores.filter(pl.col("request") == scores["request"][0])
  past = pl.concat(
      [pl.read_parquet(shop / f"{s}.parquet") for s in ("train", "valid",
                                                        "test")]
  ).filter(
      (pl.col("user") == first["user"][0]) & (pl.col("time") < first["time"][0])
  )
  kind = pl.when(pl.col("click") == 1).then(pl.lit("click")).when(
      pl.col("hide") == 1).then(pl.lit("hide")).otherwise(pl.lit("none"))
  # Within a second the table orders by its content; so does a request.
  past = past.sort("time", "item").with_columns(kind.alias("kind"))
  times = past["time"].to_numpy() * 1_000_000
  order = np.arange(past.height)[::-1]
  got = ranker.rank(
      first["item"].to_list(),
      time=int(first["time"][0]) * 1_000_000,
      actions=UserActions(
          past["kind"][order].to_list(), past["item"][order].to_list(),
          times[order].tolist(),
      ),
      context={"user": first["user"][0], "device": first["device"][0]},
  )
  want = first.select("p/click", "p/hide").to_numpy()
  np.testing.assert_allclose(got, want, atol=2e-5)
  assert sorted(first["rank"]) == list(range(1, first.height + 1))


def test_odd_requests_are_answered(ranker, items):
  one = items["item"][1]
  got = ranker.rank(
      [one, "never seen", one, "i0", one], time=10, context={"user": "new"}
  )
  assert got.shape == (5, 2) and np.isfinite(got).all()
  np.testing.assert_array_equal(got[0], got[2])
  # A part of another size may round otherwise.
  np.testing.assert_allclose(got[0], got[4], atol=1e-6)
  many = UserActions(["click"] * 10_000, [one] * 10_000, range(10_000))
  assert np.isfinite(ranker.rank([one], time=10_000, actions=many)).all()
  lone = UserActions(["click"], [one], [3])
  changed = ranker.rank([one], time=10, actions=lone, context={"price": None})
  assert not np.allclose(changed, got[0])
  assert ranker.rank([], time=1).shape == (0, 2)


def test_requests_are_timed_end_to_end(run):
  found = measure(str(run), [2], repeats=3)
  (row,) = found["rows"]
  assert row["candidates"] == 2 and 0 < row["p50_ms"] <= row["p99_ms"]


def test_an_action_at_the_time_of_the_request_is_refused(ranker):
  late = UserActions(["click", "click"], ["i1", "i2"], [5, 10])
  with pytest.raises(UserError, match="at or after the time of its request"):
    ranker.rank(["i1"], time=10, actions=late)


def test_a_column_that_is_no_feature_is_refused(ranker):
  with pytest.raises(UserError, match="context column 'colour'"):
    ranker.rank(["i1"], time=1, context={"colour": "red"})


def test_no_batch_holds_an_action_at_or_after_its_request(run):
  evaluator, data = open_requests(load_ranking_run(run), "test")
  batch = data.sides["test"].batch(np.arange(len(data.sides["test"])))
  there = batch["action_types"] > 0
  assert there.any() and (batch["action_ages"][there] > 0).all()
  assert evaluator.split == "test"


def test_negatives_that_were_left_out_are_counted_back(shop):
  config = shop_config(
      shop,
      data__columns__heads="click",
      keep_best__metric="",
      data__negative_rate=0.25,
  )
  recipe = Ranking(config)
  labels = recipe.train.labels[:, 0]
  assert (labels[recipe.chosen] == 1).sum() == labels.sum()
  subject = recipe.make_evaluators(None, None)["valid"].subject
  kept = labels[recipe.chosen].mean()
  logit = np.log(kept / (1 - kept)) + subject.shift
  assert 1 / (1 + np.exp(-logit)) == pytest.approx(labels.mean(), abs=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(data__negative_rate=0.5), "several heads"),
        (dict(data__train="none.parquet"), "no such file"),
        (dict(data__candidate="shelf"), "data.candidate is 'shelf'"),
        (dict(objective__label_weights="1,2"), "2 rows by semicolons"),
        (dict(data__columns__heads=""), "no heads"),
        (dict(evals__valid__head_weights={"buy": 1}), "name 'buy'"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(shop, changes, message):
  with pytest.raises(UserError, match=message):
    recipe = Ranking(shop_config(shop, **changes))
    recipe.make_evaluators(None, None)
