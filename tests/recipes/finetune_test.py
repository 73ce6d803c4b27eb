import jax
import numpy as np
import polars as pl
import pytest

from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.common.errors import UserError
from behavior_lm.recipes.finetune import Finetune
from behavior_lm.recipes.finetune_loading import load_finetuned
from behavior_lm.recipes.shared.source_run import encoder_params
from behavior_lm.recipes.train import train
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.sharding import path_name
from tests.finetuning import finetune_config
from tests.finetuning import labels_file
from tests.finetuning import pretrained

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(dataset_path, tmp_path_factory):
  """A pretrained run and a label file."""
  folder = tmp_path_factory.mktemp("finetune")
  return pretrained(dataset_path, folder / "run"), labels_file(folder)


def leaves(tree):
  found = jax.tree_util.tree_leaves_with_path(tree)
  return {path_name(path): np.asarray(leaf) for path, leaf in found}


def saved(folder):
  checkpoints = Checkpoints(folder / "checkpoints", keep=None)
  try:
    return leaves(checkpoints.restore_anything())
  finally:
    checkpoints.close()


def changed(found, run):
  """Paths of the encoder that are not as they were pretrained."""
  before = encoder_params(run)
  of_encoder = {
      path.removeprefix("encoder/"): leaf
      for path, leaf in found.items()
      if path.startswith("encoder/")
  }
  return {
      path
      for path, leaf in of_encoder.items()
      if path not in before or (leaf != before[path]).any()
  }


def test_everything_is_trained_and_the_best_is_kept(source, tmp_path):
  run, labels = source
  config = finetune_config(run, labels, "full")
  assert train(config, tmp_path / "run") == "finished"
  lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
  assert any("eval/valid/log_loss" in line for line in lines)
  loaded = load_finetuned(tmp_path / "run")
  assert loaded.step == 2
  found = leaves(loaded.params)
  assert len(changed(found, run)) > 10
  assert {"head/out/kernel", "head/norm/scale"} <= found.keys()
  # The same command changes nothing.
  again = finetune_config(run, labels, "full")
  assert train(again, tmp_path / "run") == "finished"


@pytest.mark.parametrize("mode", ["lora", "prefix"])
def test_adapters_and_head_alone_are_trained_and_saved(source, tmp_path, mode):
  run, labels = source
  folder = tmp_path / "run"
  train(finetune_config(run, labels, mode), folder)
  names = saved(folder).keys()
  assert names and all("lora_" in n or "prefix/" in n or n.startswith("head/")
                       for n in names)
  # What is loaded holds the encoder all the same.
  found = leaves(load_finetuned(folder).params)
  new = changed(found, run)
  assert new == {n.removeprefix("encoder/") for n in names if "encoder/" in n}


def test_a_run_without_its_encoder_goes_on(source, tmp_path):
  run, labels = source
  config = lambda **more: finetune_config(
      run, labels, "probe", total_steps=3, checkpoint_every=1, **more
  )
  assert train(config(max_minutes=1e-9), tmp_path / "run") == "time"
  assert saved(tmp_path / "run").keys() == {
      f"head/{name}"
      for name in ("norm/scale", "norm/bias", "out/kernel", "out/bias")
  }
  assert train(config(), tmp_path / "run") == "finished"
  whole = tmp_path / "whole"
  assert train(config(), whole) == "finished"
  for name, leaf in saved(whole).items():
    np.testing.assert_allclose(
        leaf, saved(tmp_path / "run")[name], atol=1e-6, err_msg=name
    )


def test_a_pretrained_run_that_was_trained_on_is_refused(source, tmp_path):
  run, labels = source
  train(finetune_config(run, labels, "probe"), tmp_path / "run")
  path = tmp_path / "run" / "samples.json"
  text = path.read_text()
  path.write_text(text.replace('"encoder_sha256": "', '"encoder_sha256": "0'))
  with pytest.raises(UserError, match="not the one that .* Fine-tune again"):
    load_finetuned(tmp_path / "run")


def recipe(source, **changes):
  run, labels = source
  return Finetune(finetune_config(run, labels, **changes))


@pytest.mark.parametrize("changes, words", [
    (dict(encoder__run=""), "no pretrained run"),
    (dict(task__labels_path=""), "no labels"),
    (dict(adapt__mode="adapters"), "known are probe, head"),
    (dict(adapt__top_layers=3, adapt__mode="top"), "choose 1 to 2"),
    (dict(adapt__layer_decay=0.0), "layer_decay is 0.0"),
    (dict(head__pooling="median"), "head.pooling is 'median'"),
    (dict(head__layer=5), "this model has 2"),
    (dict(encoder__from_scratch=True, adapt__mode="lora"), "stay random"),
    (dict(objective__class_weights="equal"), "none, balanced"),
    (dict(split__kind="random"), "known are user, folds, time"),
    (dict(split__kind="folds", split__fold=5), "choose 0 to 4"),
    (dict(split__kind="time"), "set --config.split.split_time"),
    (dict(evals__valid__split="all"), r"known are \['test', 'valid'\]"),
    (dict(keep_best__metric="other/auc"), "no evaluator 'other'"),
])  # fmt: skip
def test_what_does_not_fit_is_an_error_before_a_folder_is_made(
    source, tmp_path, changes, words
):
  run, labels = source
  with pytest.raises(UserError, match=words):
    train(finetune_config(run, labels, **changes), tmp_path / "run")
  assert not (tmp_path / "run").exists()


def test_labels_of_one_class_are_refused(source, tmp_path):
  path = tmp_path / "labels.csv"
  users = [f"user{i}" for i in range(6)]
  pl.DataFrame({"user_id": users, "bot": [0] * 6}).write_csv(path)
  with pytest.raises(UserError, match="of one class"):
    Finetune(finetune_config(source[0], path))


def test_an_encoder_from_scratch_has_the_shape_of_the_run_alone(source):
  made = recipe(source, encoder__from_scratch=True)
  assert not made.config.init_from.encoder
  assert made.config.model.embed_dim == 16
  assert made.config.data.gap_kind == "next"


def test_epochs_become_steps(source):
  made = recipe(source, epochs=10)
  steps = made.rows_per_epoch / 2
  assert made.config.total_steps == int(np.ceil(10 * steps))
  assert made.config.evals.valid.every == max(1, round(steps))


def test_rates_fall_from_the_top_down(source):
  scales = recipe(source, adapt__layer_decay=0.5).config.optim.rate_scales
  assert scales["^encoder/layers/1/"] == 0.5
  assert scales["^encoder/layers/0/"] == 0.25
  assert scales["^encoder/embed/"] == 0.125
