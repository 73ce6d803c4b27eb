from flax import nnx
import jax
from jax.sharding import PartitionSpec as P
import numpy as np
import pytest

from behavior_lm.models.encoders import ENCODERS
from behavior_lm.recipes.shared import parts
from behavior_lm.training.sharding import describe
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.sharding import state_sharding
from behavior_lm.training.sharding import uncovered
from behavior_lm.training.state import split_model
from configs.pretrain import get_config


def test_one_device_is_a_mesh_of_one():
  assert dict(make_mesh().shape) == {"data": jax.device_count(), "model": 1}


def test_a_mesh_of_more_devices_than_there_are_is_an_error():
  with pytest.raises(ValueError, match="needs 6 devices"):
    make_mesh(data=3, model=2)


def test_rules_cover_parameters_and_moments_alike():
  kernel = np.zeros((4, 12))
  tree = {
      "params": {"layers": {0: {"attention": {"qkv": {"kernel": kernel}}}}},
      "opt_state": ({"mu": {"qkv": {"kernel": kernel}}},),
      "step": np.zeros(()),
  }
  got = state_sharding(tree, make_mesh())
  layer = got["params"]["layers"][0]["attention"]["qkv"]["kernel"]
  assert layer.spec == P(None, "model")
  assert got["opt_state"][0]["mu"]["qkv"]["kernel"].spec == P(None, "model")
  assert got["step"].spec == P()


def test_what_is_sharded_how_can_be_told():
  tree = {
      "embed": {"token": {"embedding": np.zeros((8, 4))}},
      "norm": {"scale": np.zeros(4), "bias": np.zeros(4)},
  }
  rows = describe(tree, state_sharding(tree, make_mesh()))
  assert [row["leaves"] for row in rows] == [1, 2]
  assert rows[0]["largest"] == "embed/token/embedding"
  assert rows[0]["numbers"] == 32 and rows[1]["sharding"] == "replicated"


def test_a_large_array_that_no_rule_covers_is_found():
  large = jax.ShapeDtypeStruct((2048, 512), np.float32)
  tree = {"embed": {"token": {"embedding": large}}, "odd": {"kernel": large}}
  assert uncovered(tree) == ["odd/kernel"]


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_every_large_array_of_our_models_has_a_rule(name):
  config = get_config(f"model={name},size=base,length=4096")
  config.model.num_layers = 2
  make = parts.language_model(config, 50_000)
  _, params, _ = split_model(nnx.eval_shape(lambda: make(rngs=nnx.Rngs(0))))
  assert uncovered(params) == []
