import json
import os
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time

import pytest

from behavior_lm.errors import UserError
from behavior_lm.evaluation.masked_perplexity import make_evaluators
from behavior_lm.training.loop import train
from behavior_lm.training.metrics import read_metrics
from tests.training.tiny import tiny_config

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
  with pytest.raises(UserError, match="checkpoint 50 .* damaged.*Delete fold"):
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


def test_init_from_a_folder_that_is_no_run_is_named_and_not_made(
    dataset_path, tmp_path
):
  config = tiny_config(dataset_path, init_from=str(tmp_path / "typo"))
  with pytest.raises(UserError, match="typo: no config.json"):
    train(config, tmp_path / "run")
  assert not (tmp_path / "typo").exists()


def test_max_minutes_stops_and_saves(dataset_path, tmp_path):
  config = tiny_config(dataset_path, total_steps=50, max_minutes=1e-6)
  assert train(config, tmp_path / "run") == "time"
  assert losses(tmp_path / "run").keys() == {1}
  assert (tmp_path / "run" / "checkpoints" / "1").is_dir()


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


def test_a_split_that_does_not_exist_is_named(dataset_path, tmp_path):
  config = tiny_config(dataset_path, eval__split="validation")
  with pytest.raises(UserError, match="no split 'validation'"):
    train(config, tmp_path / "run", make_evaluators)


def test_a_diverged_run_stops_with_advice(dataset_path, tmp_path):
  config = tiny_config(
      dataset_path, optim__learning_rate=1e30, optim__clip_norm=1e30
  )
  with pytest.raises(UserError, match="Lower --config.optim.learning_rate"):
    train(config, tmp_path / "run")


def test_the_config_of_the_run_is_kept(whole_run):
  config = json.loads((whole_run / "config.json").read_text())
  assert config["total_steps"] == 50
