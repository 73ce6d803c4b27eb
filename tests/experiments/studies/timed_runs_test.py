"""A study of two models over events and over chains, on a tiny log."""

import json
import shutil

import numpy as np
import pytest

from behavior_lm.artifacts.run_folder import create_run
from behavior_lm.artifacts.scores import load_scores
from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.logs.dataset import open_dataset
from experiments.studies import equal_time
from experiments.studies import timed_runs
from tests.tiny import tiny_config
from tests.tiny import tiny_dataset

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow

MINUTES = 0.01


@pytest.fixture(scope="module")
def dataset_path(tmp_path_factory):
  return tiny_dataset(tmp_path_factory.mktemp("data"))


def finish(name, study, dataset_path, minutes=MINUTES, **changes):
  lines = []
  done = timed_runs.finish_run(
      name,
      tiny_config(dataset_path, **changes),
      study,
      open_dataset(dataset_path),
      minutes=minutes,
      probe_steps=8,
      say=lines.append,
      code="abc",
  )
  return done, lines


@pytest.fixture(scope="module")
def study(tmp_path_factory, dataset_path):
  """One run, stopped and finished; its plan is written, not measured."""
  folder = tmp_path_factory.mktemp("study")
  (folder / "bert").mkdir()
  plan = {
      "minutes": MINUTES,
      "seconds_a_step": 0.05,
      "probed_steps": 5,
      "total_steps": 12,
  }
  (folder / "bert" / equal_time.PLAN).write_text(json.dumps(plan))
  assert not finish("bert", folder, dataset_path, max_minutes=1e-6)[0]
  assert timed_runs.finished(folder, ["bert"]) == []
  done, lines = finish("bert", folder, dataset_path)
  assert done and lines[-1] == "bert: scoring"
  return folder


def test_a_run_tells_what_it_is_and_did(study):
  (result,) = timed_runs.finished(study, ["bert", "longformer"])
  assert result["steps"] == 12
  log = (study / "bert" / "run" / "train.log").read_text()
  assert "resumed" in log
  assert (result["model"], result["tokens"]) == ("bert", "pair")
  assert (result["length"], result["rows"], result["seed"]) == (32, 4, 0)
  assert result["num_params"] > 1_000 and result["code"] == "abc"
  assert 0 < result["minutes"] < result["wall_minutes"]
  scores = load_scores(study / "bert" / timed_runs.SCORES)["bert"]
  assert scores.count.sum() > 0


def test_a_finished_run_is_not_trained_again(study, dataset_path):
  before = (study / "bert" / timed_runs.RESULT).stat().st_mtime_ns
  assert finish("bert", study, dataset_path) == (True, ["bert: done already"])
  # How it was watched does not matter, nor where the dataset lies.
  assert finish("bert", study, dataset_path, data__prefetch=0)[0]
  assert (study / "bert" / timed_runs.RESULT).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"seed": 1}, "seed (0 there, 1 now)"),
        ({"model__mlp_dim": 48}, "model.mlp_dim (32 there, 48 now)"),
        ({"evals__test__mask_seed": 5}, "mask_seed (0 there, 5 now)"),
    ],
)
def test_a_finished_run_of_other_settings_is_refused(
    study, dataset_path, changes, named
):
  with pytest.raises(UserError) as error:
    finish("bert", study, dataset_path, **changes)
  assert named in str(error.value)


def test_a_finished_run_of_another_time_is_refused(study, dataset_path):
  with pytest.raises(UserError, match="planned for 0.01 minutes, not 2"):
    finish("bert", study, dataset_path, minutes=2.0)


def test_a_run_that_lost_its_result_is_only_scored_again(
    study, dataset_path, tmp_path
):
  again = tmp_path / "study"
  shutil.copytree(study, again)
  (again / "bert" / timed_runs.RESULT).unlink()
  (again / "bert" / timed_runs.SCORES).unlink()
  steps = (again / "bert" / "run" / "metrics.jsonl").read_text()
  assert finish("bert", again, dataset_path)[0]
  assert (again / "bert" / "run" / "metrics.jsonl").read_text() == steps
  one, other = (
      load_scores(folder / "bert" / timed_runs.SCORES)["bert"]
      for folder in (study, again)
  )
  np.testing.assert_allclose(one.nats, other.nats, rtol=1e-6)
  assert load_tokenizer(again / "bert" / "run" / "tokenizer").kind == "pair"


def test_scores_of_a_run_that_was_moved_away_are_not_taken(
    study, dataset_path, tmp_path
):
  again = tmp_path / "study"
  shutil.copytree(study, again)
  (again / "bert" / timed_runs.RESULT).unlink()
  (again / "bert" / "run").rename(tmp_path / "moved")
  stale = again / "bert" / timed_runs.SPANS
  stale.write_bytes(b"")
  before = (again / "bert" / timed_runs.SCORES).stat().st_mtime_ns
  assert finish("bert", again, dataset_path)[0]
  assert (again / "bert" / timed_runs.SCORES).stat().st_mtime_ns != before
  assert not stale.exists()


def test_a_finished_reformer_is_known_again(dataset_path, tmp_path):
  """Its config has a tuple, which JSON makes a list."""
  folder = tmp_path / "reformer"
  folder.mkdir()
  plan = dict(minutes=MINUTES, seconds_a_step=0.05, probed_steps=5)
  plan |= {"total_steps": 2}
  (folder / equal_time.PLAN).write_text(json.dumps(plan))
  # A run that another process has finished, as far as it is looked at.
  config = equal_time.fit(tiny_config(dataset_path, model="reformer"), plan)
  create_run(config, folder / equal_time.RUN, lambda path: None)
  (folder / timed_runs.RESULT).write_text("{}")
  found = finish("reformer", tmp_path, dataset_path, model="reformer")
  assert found == (True, ["reformer: done already"])
  with pytest.raises(UserError, match="model.num_layers"):
    finish(
        "reformer", tmp_path, dataset_path, model="reformer",
        model__num_layers=6,
    )
