import json

import numpy as np
import polars as pl
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.items.histories import read_histories
from behavior_lm.data.reading import Reading
from behavior_lm.inference.recall import Recall
from behavior_lm.inference.recall import seen_items
from behavior_lm.inference.recall_dataset import recall_dataset
from behavior_lm.inference.recall_dataset import RecallRequest
from behavior_lm.inference.stores.faiss_index import build_index
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.recipes.evaluate import evaluate_runs
from behavior_lm.recipes.item_run import load_item_run
from behavior_lm.recipes.retrieval import choose_sizes
from behavior_lm.recipes.retrieval import make_evaluator
from behavior_lm.recipes.retrieval import make_subject
from behavior_lm.recipes.retrieval import Retrieval
from behavior_lm.recipes.shared.loading import load_run
from behavior_lm.recipes.train import train
from behavior_lm.training.sharding import make_mesh
from configs.retrieval import get_config
from configs.retrieval import OBJECTIVES
from tests.items import item_dataset

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow


def item_config(path, arg="", **changes):
  config = get_config(f"runlocal=1,{arg}")
  config.data.path = str(path)
  config.data.max_length = 12
  config.model.dropout_rate = 0.0
  config.optim.learning_rate = 0.02
  config.total_steps = 60
  config.evals.valid.every = 30
  config.evals.valid.k = config.evals.test.k = 3
  config.keep_best.metric = "valid/ndcg@3"
  for key, value in changes.items():
    section, _, name = key.partition("__")
    config[section][name] = value
  return config


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return item_dataset(tmp_path_factory.mktemp("items"))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
  folder = tmp_path_factory.mktemp("run") / "run"
  assert train(item_config(data), folder) == "finished"
  return folder


def test_it_learns_what_comes_next(run, data):
  result = evaluate_runs([run], open_dataset(data), "test", best=True)
  by_name = {row["model"]: row["values"] for row in result["rows"]}
  model = by_name["bert (full_softmax)"]
  assert model["hr@3"] > by_name["popularity"]["hr@3"] + 0.3
  # One held-out item is unknown to all of them.
  assert "1 of 23 held-out items are unknown" in result["notes"][0]
  assert result["counts"]["users"] == 23
  json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(
    ("rows_per_epoch", "events_per_item", "rows", "dropout"),
    [
        (10, 49.9, 4, 0.5),  # Never fewer than 4 rows.
        (890, 12.7, 8, 0.5),
        (1_199, 50.0, 8, 0.2),  # A multiple of 4.
        (1_200, 60.0, 12, 0.2),
        (9_000, 290.0, 32, 0.2),  # Never more than 32.
    ],
)
def test_sizes_that_are_left_open_follow_from_the_data(
    rows_per_epoch, events_per_item, rows, dropout
):
  config = get_config()
  choose_sizes(config, rows_per_epoch, events_per_item)
  assert (config.data.batch_size, config.model.dropout_rate) == (rows, dropout)
  # What is chosen is kept, and so is what a person chose.
  choose_sizes(config, 2_000, 1_000.0 - 990 * (dropout == 0.2))
  assert (config.data.batch_size, config.model.dropout_rate) == (rows, dropout)


def test_chosen_sizes_are_kept_in_the_run_folder(data, tmp_path):
  def config():
    made = item_config(data)
    made.data.batch_size, made.model.dropout_rate = 0, -1.0
    made.total_steps = 2
    return made

  assert train(config(), tmp_path / "run") == "finished"
  kept = load_item_run(tmp_path / "run").config
  assert (kept.data.batch_size, kept.model.dropout_rate) == (4, 0.5)
  assert train(config(), tmp_path / "run") == "finished"


def test_the_test_history_has_the_validation_item(run, data):
  dataset = open_dataset(data)
  loaded = load_item_run(run)
  whole = read_histories(
      dataset, ["train", "valid"], loaded.vocabulary, Reading("previous")
  )
  subject = make_subject(
      loaded.config, dataset, loaded.vocabulary, loaded.graphdef, make_mesh()
  )
  found = make_evaluator(loaded.config, "test", subject).histories
  for place, user in enumerate(found.users):
    want = whole.items(whole.users.index(user))
    assert found.items(place).tolist() == want.tolist()


def test_device_and_index_recommend_the_same(run, data):
  recall = Recall.load(run)
  dataset = open_dataset(data)
  histories = read_histories(
      dataset, dataset.splits, recall.vocabulary, recall.reading
  )
  users, seen = recall.user_vectors(histories), seen_items(histories)
  index = build_index(
      recall.item_vectors, recall.vocabulary.items, queries=users
  )
  scores, rows = recall.top_on_device(users, seen, 4)
  other_scores, other_rows = recall.top_by_index(index, users, seen, 4)
  assert rows.tolist() == other_rows.tolist()
  assert scores.tolist() == other_scores.tolist()
  everything = users.astype(np.float64) @ recall.item_vectors.T
  for user, known in enumerate(seen):
    assert not set(rows[user].tolist()) & set(known.tolist())
    everything[user, known] = -np.inf
    left = len(recall.vocabulary) - len(known)
    assert (rows[user] >= 0).sum() == min(4, left)
  best = np.argsort(-everything, axis=1, kind="stable")[:, :4]
  assert np.where(rows >= 0, best, -1).tolist() == rows.tolist()
  # One user as a library call.
  ids = recall.vocabulary.ids
  user = histories.users.index("5")
  raw = [ids[token - 5] for token in histories.items(user)]
  found = recall.recommend(raw, 4)
  assert [item for item, _ in found] == [ids[row] for row in rows[user]]
  assert recall.recommend([], 2)


def test_all_is_written(run, data, tmp_path):
  recall = Recall.load(run, best=True)
  out = tmp_path / "out"
  about = recall_dataset(recall, open_dataset(data), out, RecallRequest(k=3))
  assert about["users"] == 24
  top = pl.read_parquet(out / "top.parquet")
  assert top["rank"].max() == 3
  assert top["user_id"].n_unique() == 24
  arrays = np.load(out / "vectors.npz", allow_pickle=False)
  users = pl.read_parquet(out / "users.parquet")
  assert users["user_id"].to_list() == arrays["user_ids"].tolist()
  np.testing.assert_array_equal(users["embedding"].to_numpy(), arrays["users"])
  np.testing.assert_array_equal(arrays["items"], recall.item_vectors)
  with pytest.raises(UserError, match="overwrite"):
    recall_dataset(recall, open_dataset(data), out, RecallRequest())


def test_a_run_goes_on_with_newer_logs_and_new_items(run, tmp_path):
  newer = item_dataset(tmp_path, num_items=18)
  config = item_config(newer, optim__learning_rate=1e-9)
  config.init_from.encoder = str(run)
  config.total_steps = 1
  assert train(config, tmp_path / "grown") == "finished"
  old, grown = Recall.load(run), Recall.load(tmp_path / "grown")
  known = len(old.vocabulary)
  assert grown.vocabulary.ids[:known] == old.vocabulary.ids
  assert set(grown.vocabulary.ids[known:]) == {"i15", "i16", "i17"}
  np.testing.assert_allclose(
      grown.item_vectors[:known], old.item_vectors, atol=1e-6
  )


def test_other_commands_say_what_the_run_is(run):
  with pytest.raises(UserError, match=r"experiments/recall\.py"):
    load_run(run)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_makes_a_step(data, objective):
  # The constructor traces a step of the model and the loss in shapes.
  recipe = Retrieval(item_config(data, f"model=ligr,objective={objective}"))
  assert recipe.rows_per_epoch > 0


def test_wrong_settings_are_named(data):
  for changes, text in (
      (dict(data__crop="head"), "data.crop"),
      (dict(data__positions="middle"), "data.positions"),
      (dict(model__causal=False), "causal"),
      (dict(data__gap_kind="next"), "gap_kind"),
      (dict(vocabulary__min_count=999), "min_count"),
      (dict(data__features="gap_next"), "gap_next"),
  ):
    with pytest.raises(UserError, match=text):
      Retrieval(item_config(data, **changes))
