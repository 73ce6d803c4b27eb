import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

import pytest

from behavior_lm.artifacts.metrics import read_metrics
from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.evaluation.masked_perplexity import make_evaluators
from behavior_lm.inference.embedder import Embedder
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.recipes import pretrain as build
from behavior_lm.training import loop
from behavior_lm.training.loop import train
from tests.tiny import tiny_config
from tests.tiny import tiny_dataset

REPO = Path(__file__).resolve().parents[2]


def losses(run):
  return {m["step"]: m["loss"] for m in read_metrics(run / "metrics.jsonl")
          if "loss" in m}


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
  train(tiny_config(dataset_path, total_steps=50, seed=1), tmp_path / "other")
  assert losses(tmp_path / "other") != want


def test_training_learns(whole_run):
  curve = losses(whole_run)
  first = sum(curve[s] for s in range(1, 6)) / 5
  last = sum(curve[s] for s in range(46, 51)) / 5
  assert last < first - 0.5


def command(dataset_path, run, *more):
  changes = {
      "data.path": dataset_path,
      "data.max_length": 32,
      "data.batch_size": 4,
      "model.embed_dim": 16,
      "model.mlp_dim": 32,
      "log_every": 1,
      "checkpoint_every": 7,
      "total_steps": 50,
  }
  return [
      sys.executable,
      "experiments/pretrain.py",
      "--config=configs/pretrain.py:size=tiny,runlocal=1",
      f"--workdir={run}",
      *(f"--config.{name}={value}" for name, value in changes.items()),
      *more,
  ]


def start_and_send(dataset_path, run, number, after_step):
  """Starts the command and signals it once it has logged `after_step`."""
  process = subprocess.Popen(
      command(dataset_path, run),
      cwd=REPO,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
  )
  path, deadline = run / "metrics.jsonl", time.monotonic() + 300
  while time.monotonic() < deadline and process.poll() is None:
    if path.exists() and path.read_text().count("\n") >= after_step:
      break
    time.sleep(0.01)
  os.kill(process.pid, number)
  out, _ = process.communicate(timeout=300)
  return process.returncode, out


@pytest.mark.slow
@pytest.mark.parametrize("after_step", [3, 9, 30])
def test_a_run_killed_anywhere_goes_on_bit_for_bit(
    dataset_path, tmp_path, whole_run, after_step
):
  run = tmp_path / "run"
  start_and_send(dataset_path, run, signal.SIGKILL, after_step)
  assert len(losses(run)) < 50, "killed too late to test anything"
  done = subprocess.run(
      command(dataset_path, run), cwd=REPO, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr
  assert losses(run) == losses(whole_run)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_leaves_and_the_run_goes_on(
    dataset_path, tmp_path, whole_run, number
):
  run = tmp_path / "run"
  code, out = start_and_send(dataset_path, run, number, after_step=4)
  assert code == 0, out
  assert f"stopped by {signal.Signals(number).name} at step" in out
  assert "The same command goes on" in out
  stopped = max(losses(run))
  assert (run / "checkpoints" / str(stopped)).is_dir()
  done = subprocess.run(
      command(dataset_path, run), cwd=REPO, capture_output=True, text=True
  )
  assert f"at step {stopped}" in done.stdout
  assert losses(run) == losses(whole_run)


def test_a_damaged_last_checkpoint_says_which_folder_to_delete(
    dataset_path, tmp_path, whole_run
):
  run = tmp_path / "run"
  shutil.copytree(whole_run, run)
  for path in (run / "checkpoints" / "50" / "params").rglob("*"):
    if path.is_file():
      path.write_bytes(b"junk")
  config = tiny_config(dataset_path, total_steps=50)
  with pytest.raises(UserError, match="50 .* damaged.*50 is deleted"):
    train(config, run)


def test_a_finished_run_is_not_trained_again(dataset_path, tmp_path, whole_run):
  run = tmp_path / "run"
  shutil.copytree(whole_run, run)
  before = (run / "metrics.jsonl").read_text()
  assert train(tiny_config(dataset_path, total_steps=50), run) == "finished"
  assert (run / "metrics.jsonl").read_text() == before


def test_init_from_takes_parameters_but_not_the_step(
    dataset_path, tmp_path, whole_run
):
  config = tiny_config(dataset_path, total_steps=6, init_from=str(whole_run))
  train(config, tmp_path / "tuned")
  scratch = losses(whole_run)
  tuned = losses(tmp_path / "tuned")
  assert sorted(tuned) == [1, 2, 3, 4, 5, 6]
  assert tuned[1] < scratch[1] - 0.3


def test_init_from_brings_the_tokenizer_of_its_parameters(
    tmp_path, whole_run
):
  """On other data too: rows of its tables are tokens of that one."""
  other = tiny_dataset(tmp_path, split_time="2023-12-10")
  config = tiny_config(other, total_steps=6, init_from=str(whole_run))
  train(config, tmp_path / "tuned")
  own = load_tokenizer(whole_run / "tokenizer")
  assert load_tokenizer(tmp_path / "tuned/tokenizer").fingerprint == (
      own.fingerprint
  )
  small = tiny_config(other, tokenizer__vocab_size=9)
  fewer = build.build_tokenizer(small, open_dataset(other))
  fewer.save(tmp_path / "fewer")
  config.tokenizer.path = str(tmp_path / "fewer")
  with pytest.raises(UserError, match="another tokenizer than that of init_f"):
    train(config, tmp_path / "mixed")
  assert not (tmp_path / "mixed").exists()


def test_init_from_a_folder_that_is_no_run_is_named_and_not_made(
    dataset_path, tmp_path
):
  config = tiny_config(dataset_path, init_from=str(tmp_path / "typo"))
  with pytest.raises(UserError, match="typo: no config.json"):
    train(config, tmp_path / "run")
  assert not (tmp_path / "typo").exists()
  (tmp_path / "typo").mkdir()
  (tmp_path / "typo" / "config.json").write_text("{}")
  with pytest.raises(UserError, match="typo has no checkpoints yet"):
    train(config, tmp_path / "run")
  assert not (tmp_path / "typo" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("slip", "message"),
    [
        (dict(model__name="brt"), "model.name is 'brt'"),
        (dict(model__num_heads=3), "config.model: embed_dim 16"),
        (dict(model__time_encoding="foo"), "config.model: time encoding 'foo'"),
        (dict(model__attention_backend="splash"), "config.model: backend"),
        (dict(objective__mask_rate=2.0), "mask_rate is 2.0"),
        (dict(optim__warmup_steps=99), "config.optim: warmup_steps"),
        (dict(mesh__data=7), "config.mesh: a mesh of data=7"),
        (dict(data__split="trian"), "no split 'trian'"),
        (dict(eval__split="dev", eval__every=5), "no split 'dev'"),
    ],
)
def test_a_slip_in_the_config_makes_no_folder(
    dataset_path, tmp_path, slip, message
):
  config = tiny_config(dataset_path, **slip)
  with pytest.raises(UserError, match=message):
    train(config, tmp_path / "run")
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("model", ["reformer", "modern", "longformer"])
def test_every_architecture_goes_on_bit_for_bit(dataset_path, tmp_path, model):
  make = lambda **more: tiny_config(
      dataset_path, model, total_steps=12, checkpoint_every=5, **more
  )
  train(make(), tmp_path / "whole")
  assert train(make(max_minutes=1e-6), tmp_path / "parts") == "time"
  assert train(make(), tmp_path / "parts") == "finished"
  assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
  vectors = Embedder.load(tmp_path / "parts").encode([["e1", "e2"], ["e3"]])
  assert vectors.shape == (2, 16)


def test_max_minutes_stops_and_saves(dataset_path, tmp_path, capsys):
  config = tiny_config(dataset_path, total_steps=50, max_minutes=1e-6)
  assert train(config, tmp_path / "run") == "time"
  assert losses(tmp_path / "run").keys() == {1}
  assert (tmp_path / "run" / "checkpoints" / "1").is_dir()
  assert "goes on with a larger --config.max_minutes" in capsys.readouterr().out


def test_evaluation_while_training_is_written_beside_the_losses(
    dataset_path, tmp_path
):
  config = tiny_config(dataset_path, total_steps=8, eval__every=4)
  train(config, tmp_path / "run", make_evaluators)
  lines = read_metrics(tmp_path / "run" / "metrics.jsonl")
  found = [m for m in lines if "eval/perplexity" in m]
  assert [m["step"] for m in found] == [4, 8]
  assert found[0]["eval/bits_per_event"] > 0
  assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_no_dataset_is_a_clear_error(tmp_path):
  config = tiny_config(tmp_path)
  config.data.path = ""
  with pytest.raises(UserError, match="set --config.data.path"):
    train(config, tmp_path / "run")


def test_a_diverged_run_stops_with_advice_and_keeps_what_was_good(
    dataset_path, tmp_path, monkeypatch
):
  """However seldom it logs."""
  spoil = 13
  make_step = loop.compile_step

  def compile_step(*args):
    step = make_step(*args)

    def spoilt(state, batch):
      state, metrics = step(state, batch)
      if int(state["step"]) == spoil:
        metrics["grad_norm"] = float("nan")
      return state, metrics

    return spoilt

  monkeypatch.setattr(loop, "compile_step", compile_step)
  config = tiny_config(
      dataset_path, total_steps=50, log_every=40, checkpoint_every=6
  )
  run = tmp_path / "run"
  message = "grad_norm is nan at step 13.*Lower --config.optim.learning_rate"
  with pytest.raises(UserError, match=message):
    train(config, run)
  saved = {int(path.name) for path in (run / "checkpoints").iterdir()}
  assert saved == {6, 12}


def test_a_loss_that_is_no_number_is_named(dataset_path, tmp_path):
  config = tiny_config(
      dataset_path, optim__learning_rate=1e30, optim__clip_norm=1e30
  )
  with pytest.raises(UserError, match="Lower --config.optim.learning_rate"):
    train(config, tmp_path / "run")


def test_the_config_of_the_run_is_kept(whole_run):
  config = json.loads((whole_run / "config.json").read_text())
  assert config["total_steps"] == 50
