import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.prompts.interactions import read_interactions
from behavior_lm.recipes.prompts import Prompts
from tests.prompts import language_run
from tests.prompts import prompts_config
from tests.prompts import SOURCES


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  return language_run(tmp_path_factory.mktemp("language"))


def test_batches_hold_the_prompts_of_training_rows_with_their_labels(run):
  recipe = Prompts(prompts_config(run))
  frame = read_interactions(SOURCES)
  train_rows = frame.filter(split="train")
  assert recipe.rows_per_epoch * 4 >= len(train_rows)
  batch = next(recipe.batches(0, 1))
  shapes = recipe.batch_shapes()
  assert {k: (v.shape, v.dtype) for k, v in batch.items()} == shapes
  known = batch["weights"] > 0
  assert set(np.unique(batch["labels"][known])) <= {0, 1}
  assert recipe.work(batch)["prompts"] == known.sum()
  assert recipe.config.model.max_length == 32


def test_a_soft_prompt_has_places_in_each_prompt(run):
  recipe = Prompts(prompts_config(run, "soft", adapt__soft_length=3))
  size = recipe.config.model.vocab_size
  batch = next(recipe.batches(0, 1))
  places = (batch["tokens"] >= size).sum()
  assert places == 3 * (batch["weights"] > 0).sum()


@pytest.mark.parametrize("changes, words", [
    (dict(prompts__max_length=40, data__max_length=48), "reach the position"),
    (dict(prompts__max_length=2), "no room for text"),
    (dict(prompts__left_out="films"), "names films"),
    (dict(prompts__left_out="beauty,music"), "no domain to train on"),
    (dict(adapt__mode="hard"), "known are probe"),
    (dict(evals__valid__evaluator="auc"), "known are"),
    (dict(head__pooling="median"), "known are"),
])
def test_a_setting_that_does_not_fit_is_refused(run, changes, words):
  with pytest.raises(UserError, match=words):
    Prompts(prompts_config(run, **changes))


def test_a_run_of_something_else_is_no_language_model(tmp_path):
  (tmp_path / "config.json").write_text('{"recipe": "pretrain"}')
  (tmp_path / "run.json").write_text('{"layout": 2}')
  (tmp_path / "text").mkdir()
  with pytest.raises(UserError, match="neither vocab.txt"):
    Prompts(prompts_config(tmp_path))


def test_a_left_out_domain_is_tested_and_not_trained_on(run):
  recipe = Prompts(prompts_config(run, prompts__left_out="music"))
  domains = recipe.data.domains()
  assert set(domains["train"]) == set(domains["valid"]) == {"beauty"}
  assert set(domains["test"]) == {"beauty", "music"}


def test_other_rows_are_refused_when_a_run_is_resumed(tmp_path):
  config = prompts_config("", "full", total_steps=1)
  recipe = Prompts(config)
  (tmp_path / "run").mkdir()
  recipe.save(tmp_path / "run")
  config.prompts.sources.music = "synthetic:60:2"
  with pytest.raises(UserError, match="other interactions"):
    Prompts(config, tmp_path / "run")
