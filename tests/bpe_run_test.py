"""One run with all that a token can be: chains, repeats, SEP, features."""

import numpy as np
import polars as pl
import pytest

from behavior_lm.baselines.count_baselines import SAME_INFORMATION
from behavior_lm.baselines.count_baselines import score_baselines
from behavior_lm.common.errors import UserError
from behavior_lm.inference.batching import Cut
from behavior_lm.inference.dataset_embeddings import embed_dataset
from behavior_lm.inference.dataset_embeddings import Request
from behavior_lm.inference.embedder import Embedder
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.recipes.evaluate import score_run
from behavior_lm.recipes.train import train
from tests.tiny import tiny_config
from tests.tiny import tiny_dataset
from tests.tiny import tiny_events

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset_path(tmp_path_factory):
  return tiny_dataset(
      tmp_path_factory.mktemp("data"),
      extras=("level",),
      timezone="Asia/Shanghai",
  )


def bpe_config(dataset_path, **changes):
  values = dict(
      total_steps=30,
      tokenizer__kind="bpe",
      tokenizer__vocab_size=120,
      tokenizer__alphabet_size=50,
      tokenizer__sessions="60",
      tokenizer__sep_tokens=True,
      tokenizer__collapse_repeats=True,
      data__features="hour,account_age,level,num_events",
  )
  return tiny_config(dataset_path, **values | changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory, dataset_path):
  folder = tmp_path_factory.mktemp("run") / "run"
  assert train(bpe_config(dataset_path), folder) == "finished"
  return folder


def test_bits_are_of_raw_events_and_beside_baselines(run, dataset_path):
  dataset = open_dataset(dataset_path)
  scores = score_run(run, dataset, "test")
  tokenizer = Embedder.load(run).tokenizer
  baselines = score_baselines(
      dataset,
      tokenizer,
      split="test",
      mask_rate=0.15,
      mask_seed=0,
  )
  for other in baselines.values():
    np.testing.assert_array_equal(other.count, scores.count)
    np.testing.assert_array_equal(other.num_events, scores.num_events)
    np.testing.assert_allclose(other.hidden_bits, scores.hidden_bits, rtol=1e-5)
  # Repeats were collapsed: how long the runs are is not for free.
  assert scores.hidden_bits.sum() > 0
  assert scores.num_events.sum() > scores.count.sum()
  bits = scores.nats.sum() / np.log(2) + scores.hidden_bits.sum()
  assert scores.summary()["bits_per_event"] == pytest.approx(
      bits / scores.num_events.sum()
  )
  assert np.isfinite(baselines[SAME_INFORMATION].nats).all()


def test_vectors_of_a_dataset_and_of_a_frame_agree(run, dataset_path, tmp_path):
  dataset, embedder = open_dataset(dataset_path), Embedder.load(run)
  out = tmp_path / "vectors.parquet"
  request = Request(splits=["train"], out=str(out))
  embed_dataset(embedder, dataset, request, run=run, say=lambda text: None)
  table = pl.read_parquet(out).sort("user_id", "start")
  frame = tiny_events()
  # Hours are those of the dataset's clock, which the run folder knows.
  assert embedder.reader.reading.zone == "Asia/Shanghai"
  days = embedder.encode_frame(
      frame, unit="user_day", timezone="Asia/Shanghai"
  )
  days = days.join(table, on=["user_id", "start"], how="semi")
  days = days.sort("user_id", "start")
  assert days["num_events"].to_list() == table["num_events"].to_list()
  np.testing.assert_allclose(
      np.stack(days["embedding"].to_numpy()),
      np.stack(table["embedding"].to_numpy()),
      atol=1e-5,
  )


def test_overlapping_windows_and_last_tokens_are_other_vectors(run):
  embedder = Embedder.load(run)
  frame = tiny_events(num_users=2, num_days=1, events_a_day=400)
  plain, overlapping, last = (
      embedder.encode(frame, cut=cut)
      for cut in (None, Cut(stride=10), Cut(last=20))
  )
  for other in (overlapping, last):
    assert other.shape == plain.shape and np.isfinite(other).all()
    assert np.abs(other - plain).max() > 1e-3


def test_an_unknown_feature_names_the_known_ones(tmp_path, dataset_path):
  config = bpe_config(dataset_path, data__features="hour,rank")
  with pytest.raises(UserError, match="'rank' is unknown; choose from .*level"):
    train(config, tmp_path / "run")
