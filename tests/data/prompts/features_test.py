import numpy as np
import pytest

from behavior_lm.data.prompts.features import IDS
from behavior_lm.data.prompts.features import PromptFeatures
from behavior_lm.data.prompts.interactions import read_interactions


@pytest.fixture(scope="module")
def frame():
  return read_interactions({"a": "synthetic:80:0", "b": "synthetic:80:1"})


def test_ids_are_rows_of_one_table_and_known_from_training_rows(frame):
  features = PromptFeatures.fit(frame, min_count=2)
  ids = features.ids(frame)
  ends = np.cumsum(list(features.sizes.values()))
  assert ids.shape == (160, len(IDS))
  starts = ends - list(features.sizes.values())
  assert (ids >= starts).all() and (ids < ends).all()
  train = (frame["split"] == "train").to_numpy()
  keys = (frame["domain"] + ":" + frame["item"]).to_numpy()
  counts = {key: (keys[train] == key).sum() for key in keys}
  for key, own in zip(keys, ids[:, 2], strict=True):
    assert (own == starts[2]) == (counts[key] < 2)
  # Equal names in two domains are not the same.
  assert len(set(ids[train][:, 2])) > 1 + frame["item"].n_unique() / 2


def test_a_domain_that_was_not_trained_on_is_none(frame):
  features = PromptFeatures.fit(frame.filter(domain="a"))
  both = features.domain(frame)
  assert set(both[(frame["domain"] == "b").to_numpy()]) == {-1}
  assert set(both[(frame["domain"] == "a").to_numpy()]) == {0}
  assert np.isfinite(features.dense(frame)).all()


def test_statistics_are_normalised_on_training_rows(frame):
  features = PromptFeatures.fit(frame)
  dense = features.dense(frame)[(frame["split"] == "train").to_numpy()]
  np.testing.assert_allclose(dense.mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(dense.std(0), 1, atol=1e-4)


def test_what_was_learned_is_saved(frame, tmp_path):
  features = PromptFeatures.fit(frame)
  features.save(tmp_path)
  back = PromptFeatures.load(tmp_path)
  assert back == features
