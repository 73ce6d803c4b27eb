import jax
import numpy as np
import pytest

from behavior_lm.interop import weights
from behavior_lm.training.state import split_model
from tests.interop.models import make

NAMES = tuple(weights.ARCHITECTURES)


def listed(name, **changes):
  values = dict(head=True, prefixed=True, first_position=0) | changes
  layers = 1 if name == "albert" else 3
  return weights.list_weights(name, layers, **values)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_one_counterpart(name):
  params = split_model(make(name, num_token_types=2))[1]
  ours = sorted(
      ".".join(str(step.key) for step in path).removeprefix("encoder.")
      for path, _ in jax.tree_util.tree_leaves_with_path(params)
  )
  assert sorted(weight.ours for weight in listed(name)) == ours
  theirs = [key for weight in listed(name) for key in weight.theirs]
  assert len(set(theirs)) == len(theirs)


def test_a_head_and_a_prefix_are_left_out():
  bare = listed("bert", head=False, prefixed=False)
  keys = {key for weight in bare for key in weight.theirs}
  assert "embeddings.word_embeddings.weight" in keys
  assert "encoder.layer.2.attention.self.value.bias" in keys
  assert not any("predictions" in key or "bert." in key for key in keys)


def test_kernels_are_turned_and_projections_parted():
  weight = weights.Weight("qkv", ("q", "k", "v"), transposed=True)
  ours = np.arange(12).reshape(2, 6)
  parts = weights.to_theirs(weight, ours)
  np.testing.assert_array_equal(parts["k"], [[2, 8], [3, 9]])
  assert weights.their_shapes(weight, (2, 6)) == dict.fromkeys("qkv", (2, 2))
  np.testing.assert_array_equal(weights.to_ours(weight, parts), ours)


def test_rows_before_the_first_are_zeros_there():
  weight = weights.Weight("position", ("p",), skipped_rows=2)
  ours = np.ones((3, 4))
  there = weights.to_theirs(weight, ours)["p"]
  assert there.shape == weights.their_shapes(weight, (3, 4))["p"] == (5, 4)
  assert not there[:2].any()
  np.testing.assert_array_equal(weights.to_ours(weight, {"p": there}), ours)
