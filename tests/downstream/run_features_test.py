"""Vectors and surprise of the histories that rows may see."""

import numpy as np
import pytest

from behavior_lm.downstream import run_features
from behavior_lm.inference.embedder import Embedder
from behavior_lm.recipes.train import train
from tests.downstream import tiny_task
from tests.tiny import tiny_config

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("task")


@pytest.fixture(scope="module")
def data(folder):
  return tiny_task.read(folder)


@pytest.fixture(scope="module")
def run(folder, data):
  del data  # Writes the dataset.
  config = tiny_config(
      folder / "data", objective="next_events", total_steps=2,
      data__max_length=16, objective__gap_weight=0.5,
  )
  config.evals = {}
  train(config, folder / "run")
  return folder / "run"


def test_each_row_gets_the_vector_and_surprise_of_its_history(
    data, run, tmp_path
):
  vectors, surprise = run_features.features(
      data, str(run), tmp_path, tiny_task.QUIET
  )
  assert vectors.shape == (40, 16)
  # Of events, and of the gaps between them.
  assert surprise.shape == (40, 2 * run_features.NUM_SURPRISE)
  gaps = surprise[:, run_features.NUM_SURPRISE :]
  assert np.isfinite(gaps).all() and (gaps[:, 0] > 0).any()
  assert (np.diff(gaps[:, 2:9], axis=1) >= 0).all()
  sample = data.parts[0].samples[7]
  pairs = data.parts[0].dataset.pairs
  one = Embedder.load(run).encode([{
      "event_id": pairs["event_id"].gather(sample["pair"]).to_list(),
      "design_id": pairs["design_id"].gather(sample["pair"]).to_list(),
      "timestamp": sample["timestamp"],
  }])
  np.testing.assert_allclose(vectors[7], one[0], atol=1e-5)
  # A model that has learned nothing is as surprised by all events.
  mean, deviation = surprise[:, 0], surprise[:, 1]
  assert (mean > 0.5).all()
  assert (deviation < mean).all()
  quantiles = surprise[:, 2:9]
  assert (np.diff(quantiles, axis=1) >= 0).all()


def test_what_was_computed_is_read_again(data, run, tmp_path):
  read = lambda: run_features.features(
      data, str(run), tmp_path, tiny_task.QUIET
  )
  first = read()
  [path] = tmp_path.rglob("features.npz")
  written = path.stat().st_mtime_ns
  np.testing.assert_array_equal(first[0], read()[0])
  assert path.stat().st_mtime_ns == written
