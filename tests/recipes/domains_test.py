import jax
import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.recipes.domain_run import predict_run
from behavior_lm.recipes.domains import Domains
from behavior_lm.recipes.shared.language import load_prompt_model
from behavior_lm.recipes.shared.language import merged_encoder
from behavior_lm.recipes.shared.prompt_vectors import prompt_vectors
from behavior_lm.recipes.train import train
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.sharding import path_name
from tests.prompts import domains_config
from tests.prompts import language_run
from tests.prompts import prompts_config

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def language(tmp_path_factory):
  return language_run(tmp_path_factory.mktemp("language"))


@pytest.fixture(scope="module")
def adapted(language, tmp_path_factory):
  folder = tmp_path_factory.mktemp("adapted") / "run"
  assert train(prompts_config(language), folder) == "finished"
  return folder


@pytest.fixture(scope="module")
def cached(adapted, tmp_path_factory):
  """Settings of towers on the adapted model, and a place for vectors."""
  cache = tmp_path_factory.mktemp("vectors")
  return dict(run=adapted, language__cache=str(cache))


def test_adapters_alone_are_in_a_checkpoint(adapted):
  checkpoints = Checkpoints(adapted / "checkpoints", keep=None)
  found = checkpoints.restore_anything()
  checkpoints.close()
  paths = {
      path_name(keys)
      for keys, _ in jax.tree_util.tree_leaves_with_path(found)
  }
  assert {p for p in paths if p.startswith("encoder/")} == {
      f"encoder/layers/0/attention/qkv/lora_{x}" for x in "ab"
  }
  model = load_prompt_model(adapted)
  encoder = model.params["encoder"]
  b = np.asarray(encoder["layers"][0]["attention"]["qkv"]["lora_b"])
  assert b.any() and np.asarray(encoder["embed"]["token"]["embedding"]).any()


def test_updates_are_merged_into_the_weights(adapted):
  model = load_prompt_model(adapted)
  own = model.params["encoder"]["layers"][0]["attention"]["qkv"]
  # Rank 8 and alpha 16 of query and value, in a projection of width 8 each.
  a, b = np.asarray(own["lora_a"]), np.asarray(own["lora_b"])
  change = np.zeros((8, 24))
  change[:, :8], change[:, 16:] = a[:, :8] @ b[:8], a[:, 8:] @ b[8:]
  merged = merged_encoder(model).layers[0].attention.qkv
  want = np.asarray(own["kernel"]) + 2 * change
  np.testing.assert_allclose(merged.kernel[...], want, atol=1e-6)
  assert not hasattr(merged, "lora_a")


def test_vectors_are_kept_and_do_not_depend_on_their_batch(language, tmp_path):
  model = load_prompt_model(language)
  prompts = ["beauty good", "music bad user nothing", "red", "beauty good"]
  read = lambda some, **options: prompt_vectors(
      model, some, tmp_path, max_length=12, row_length=24, **options
  )
  found = read(prompts, batch_size=2)
  assert found.shape == (4, 8) and np.isfinite(found).all()
  np.testing.assert_array_equal(found[0], found[3])
  (kept,) = tmp_path.glob("*.npy")
  np.save(kept, found + 1)
  np.testing.assert_array_equal(read(prompts, batch_size=2), found + 1)
  other = read(prompts[1:3], batch_size=2)
  np.testing.assert_allclose(other, found[1:3], atol=1e-5)
  assert len(list(tmp_path.glob("*.npy"))) == 2


def test_towers_stand_on_the_vectors_and_are_measured(cached, tmp_path):
  config = domains_config(**cached, structure="mmoe")
  assert train(config, tmp_path / "run") == "finished"
  recipe = Domains(config, tmp_path / "run")
  found = predict_run(tmp_path / "run", recipe=recipe)
  assert set(found.domains) == {"beauty", "music"}
  assert ((found.scores > 0) & (found.scores < 1)).all()
  assert len(found.scores) == len(recipe.data.rows["test"])
  with pytest.raises(UserError, match="has valid, test"):
    predict_run(tmp_path / "run", "train", recipe=recipe)


def test_rows_of_a_left_out_domain_are_unknown(cached):
  recipe = Domains(domains_config(**cached, prompts__left_out="music"))
  test = recipe.subject(None, None).sides["test"][0]
  is_left_out = recipe.data.domains()["test"] == "music"
  domain = test.columns["domain"]
  assert (domain[is_left_out] == -1).all() and (domain[~is_left_out] == 0).all()
  assert (recipe._rows.columns["domain"] == 0).all()
  # Their ids are those of unknown values, and their vectors are there.
  assert len(np.unique(test.columns["ids"][is_left_out], axis=0)) == 1
  assert np.isfinite(test.columns["vector"]).all()


@pytest.mark.parametrize("changes, words", [
    (dict(towers__structure="tree"), "config.towers: structure 'tree'"),
    (dict(towers__own_experts=-1), "config.model: -1 experts"),
    (dict(prompts__sources=dict(beauty="nowhere")), "nowhere: no such"),
])
def test_a_setting_that_does_not_fit_is_refused(changes, words):
  with pytest.raises(UserError, match=words):
    Domains(domains_config(**changes))
