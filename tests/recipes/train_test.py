"""Whole runs over tokens; the loop itself is tested with a toy recipe."""

import shutil
import signal

import numpy as np
import pytest

from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.common.errors import UserError
from behavior_lm.data.fields import FEATURES
from behavior_lm.data.time_features import OF_SPAN
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.inference.embedder import Embedder
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.recipes.evaluate import score_run
from behavior_lm.recipes.shared import parts
from behavior_lm.recipes.train import train
from tests import command_server
from tests.tiny import tiny_config
from tests.tiny import tiny_dataset
from tests.tiny import tiny_events

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow


def losses(run):
  lines = read_metrics(run / "metrics.jsonl")
  return {m["step"]: m["loss"] for m in lines if "loss" in m}


@pytest.fixture(scope="module")
def whole_run(dataset_path, tmp_path_factory):
  """50 steps that nobody stopped."""
  run = tmp_path_factory.mktemp("whole") / "run"
  train(tiny_config(dataset_path, total_steps=50), run)
  return run


def test_the_same_seed_gives_the_same_losses_to_the_last_bit(
    dataset_path, tmp_path, whole_run
):
  train(tiny_config(dataset_path, total_steps=50), tmp_path / "again")
  want, got = losses(whole_run), losses(tmp_path / "again")
  assert len(want) == 50 and got == want
  # No step was made before the first loss: it is that of other parameters.
  train(tiny_config(dataset_path, total_steps=1, seed=1), tmp_path / "other")
  assert losses(tmp_path / "other")[1] != want[1]


def test_training_learns(whole_run):
  curve = losses(whole_run)
  first = sum(curve[s] for s in range(1, 6)) / 5
  last = sum(curve[s] for s in range(46, 51)) / 5
  assert last < first - 0.5


def test_next_events_are_learned_by_a_causal_model(dataset_path, tmp_path):
  config = tiny_config(
      dataset_path,
      objective="next_events",
      total_steps=50,
      evals__test__every=25,
  )
  train(config, tmp_path / "run")
  lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
  found = [
      line["eval/test/perplexity"]
      for line in lines
      if "eval/test/perplexity" in line
  ]
  assert len(found) == 2 and found[1] < found[0]


def run_command(dataset_path, run, send=None):
  """The command that makes `whole_run`."""
  changes = {
      "data.path": dataset_path,
      "data.max_length": 32,
      "data.batch_size": 4,
      "model.num_layers": 1,
      "model.embed_dim": 16,
      "model.mlp_dim": 32,
      "log_every": 1,
      "checkpoint_every": 7,
      "total_steps": 50,
  }
  return command_server.run(
      "experiments/train.py",
      "--config=configs/pretrain.py:size=tiny,runlocal=1",
      f"--workdir={run}",
      *(f"--config.{name}={value}" for name, value in changes.items()),
      send=send,
  )


def test_a_run_that_is_stopped_goes_on_bit_for_bit(
    dataset_path, tmp_path, whole_run
):
  """Three times: Ctrl-C, SIGTERM and kill -9."""
  run, stopped = tmp_path / "run", 0
  for number, more in (
      (signal.SIGINT, 4), (signal.SIGTERM, 4), (signal.SIGKILL, 9)
  ):
    send = (number, run / "metrics.jsonl", stopped + more)
    done = run_command(dataset_path, run, send)
    assert stopped < (stopped := max(losses(run))) < 50, "it came too late"
    if number == signal.SIGKILL:
      assert done.returncode == -number
    else:
      assert done.returncode == 0, done.stderr
      assert number.name in done.stdout + done.stderr
      assert (run / "checkpoints" / str(stopped)).is_dir()
  done = run_command(dataset_path, run)
  assert done.returncode == 0, done.stderr
  assert losses(run) == losses(whole_run)


# Layers of the modern encoder keep what those of BERT and Longformer keep.
@pytest.mark.parametrize("model", ["reformer", "longformer"])
def test_other_architectures_go_on_bit_for_bit(dataset_path, tmp_path, model):
  make = lambda **more: tiny_config(
      dataset_path, model, total_steps=8, checkpoint_every=5, **more
  )
  train(make(), tmp_path / "whole")
  assert train(make(max_minutes=1e-6), tmp_path / "parts") == "time"
  assert train(make(), tmp_path / "parts") == "finished"
  assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


@pytest.mark.parametrize("objective", ["masked_events", "next_events"])
def test_every_field_goes_through_training_evaluation_and_embedding(
    tmp_path, objective
):
  path = tiny_dataset(tmp_path, extras=("level", "shop:cat"))
  # What would show the gap of a masked event, or the future.
  refused = {
      "masked_events": ("gap_previous", "times"), "next_events": ("gap_next",)
  }
  names = [
      name
      for name in (*FEATURES, "level", "shop")
      if name not in (*refused[objective], *OF_SPAN)
  ]
  config = tiny_config(
      path,
      objective=objective,
      total_steps=3,
      data__features=",".join(names),
      model__num_layers=1,
  )
  train(config, tmp_path / "run")
  assert all(np.isfinite(loss) for loss in losses(tmp_path / "run").values())
  dataset = open_dataset(path)
  scores = score_run(tmp_path / "run", dataset, "test")
  assert np.isfinite(scores.nats).all() and scores.count.sum() > 0
  embedder = Embedder.load(tmp_path / "run")
  sequence = {
      "event_id": ["e1", "e2", "e3"],
      "timestamp": np.asarray([0, 1, 70]) * 10**6 + 1_700_000_000_000_000,
      "level": [1.0, None, 2.0],
      "shop": ["north", None, "never seen"],
      "first_event": 1_600_000_000_000_000,
  }
  vectors = embedder.encode([sequence])
  # Each feature has a say: without it, or with another value, the vector is
  # another one.
  assert np.isfinite(vectors).all()
  changes = (
      {"level": [1.0, None, 3.0]},
      {"first_event": 1_650_000 * 10**9},
      {"shop": ["south", None, "never seen"]},
  )
  for change in changes:
    assert not np.allclose(vectors, embedder.encode([sequence | change]))
  # A value that training did not know is like any other such value.
  other = sequence | {"shop": ["north", None, "nor this"]}
  np.testing.assert_array_equal(vectors, embedder.encode([other]))
  # A frame says the same as a list, with raw values in its columns.
  events = tiny_events(num_users=2, num_days=1)
  lists = events.partition_by("user_id", maintain_order=True)
  by_hand = [
      part.drop("user_id").to_dict(as_series=False)
      | {"first_event": part["timestamp"][0]}
      for part in lists
  ]
  np.testing.assert_allclose(
      embedder.encode(events), embedder.encode(by_hand), atol=1e-5
  )


def test_init_from_brings_the_tokenizer_of_its_parameters(tmp_path, whole_run):
  """On other data too: rows of its tables are tokens of that one."""
  other = tiny_dataset(tmp_path, split_time="2023-12-10")
  sources = {"encoder": str(whole_run), "head": str(whole_run)}
  config = tiny_config(other, total_steps=6, init_from=sources)
  train(config, tmp_path / "tuned")
  tuned, scratch = losses(tmp_path / "tuned"), losses(whole_run)
  assert sorted(tuned) == [1, 2, 3, 4, 5, 6]
  assert tuned[1] < scratch[1] - 0.3
  own = load_tokenizer(whole_run / "tokenizer")
  assert load_tokenizer(tmp_path / "tuned/tokenizer").fingerprint == (
      own.fingerprint
  )
  small = tiny_config(other, tokenizer__vocab_size=9)
  fewer = parts.make_tokenizer(small, open_dataset(other))
  fewer.save(tmp_path / "fewer")
  config.tokenizer.path = str(tmp_path / "fewer")
  with pytest.raises(UserError, match="another tokenizer than that of init_f"):
    train(config, tmp_path / "mixed")
  assert not (tmp_path / "mixed").exists()


def test_another_dataset_is_refused(tmp_path, whole_run):
  other = tiny_dataset(tmp_path, unit="user")
  run = shutil.copytree(whole_run, tmp_path / "run")
  with pytest.raises(UserError, match="another dataset"):
    train(tiny_config(other, total_steps=50), run)


CAUSAL = dict(model__causal=True, data__gap_kind="previous")


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        (dict(recipe="retrain"), "recipe is 'retrain'; known are"),
        (dict(data__path=""), "set --config.data.path"),
        (dict(model__name="brt"), "model.name is 'brt'"),
        (dict(model__num_heads=3), "config.model: embed_dim 16"),
        (dict(model__time_encoding="foo"), "config.model: time encoding 'foo'"),
        (dict(model__attention_backend="splash"), "config.model: backend"),
        (dict(data__features="colour"), "'colour' is unknown"),
        (dict(objective__name="gpt"), "objective.name is 'gpt'"),
        (dict(objective__mask_rate=2.0), "mask_rate is 2.0"),
        (dict(optim__warmup_share=1.5), "config.optim: warmup_share"),
        (dict(optim__freeze="("), "config.optim: pattern"),
        (dict(mesh__data=7), "config.mesh: a mesh of data=7"),
        (dict(data__split="trian"), "no split 'trian'"),
        (
            dict(evals__test__split="dev", evals__test__every=5),
            "no split 'dev'",
        ),
        (
            dict(evals__test__evaluator="gpt"),
            "evals.test.evaluator is 'gpt'; known are",
        ),
        (dict(keep_best__metric="test/accuracy"), "evals.test.every"),
        (CAUSAL | dict(data__gap_kind="next"), "data.gap_kind=previous"),
        (
            CAUSAL | dict(data__features="gap_next"),
            "'gap_next'.*Use 'gap_previous'",
        ),
        (dict(data__features="gap_previous"), "next' and 'gap_previous'"),
        (dict(data__features="times"), "'times' together tell"),
        (
            CAUSAL
            | dict(tokenizer__sessions="q0.9", data__features="sessions"),
            "quantile of the whole sequence",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_slip_in_the_config_makes_no_folder(
    dataset_path, tmp_path, slip, message
):
  config = tiny_config(dataset_path, **slip)
  with pytest.raises(UserError, match=message):
    train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        (dict(model__causal=False), "every token would see the answer"),
        (dict(data__gap_kind="next"), "data.gap_kind=previous"),
        (dict(model="reformer"), "a little of the future"),
    ],
    ids=str,
)
def test_an_objective_that_predicts_the_future_refuses_what_sees_it(
    dataset_path, tmp_path, slip, message
):
  config = tiny_config(dataset_path, objective="next_events", **slip)
  with pytest.raises(UserError, match=message):
    train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()
