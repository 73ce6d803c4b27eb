"""A mixture of experts in the place of an encoder's feed-forward nets."""

import dataclasses

from flax import nnx
import jax
import numpy as np
import pytest

from behavior_lm.models.encoders import ENCODERS
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model

LENGTH = 8
CONFIG = dict(
    vocab_size=20,
    num_layers=2,
    embed_dim=8,
    num_heads=2,
    mlp_dim=8,
    max_length=LENGTH,
    max_segments=2,
    time_encoding="none",
    num_experts=3,
)
SEGMENTS = np.array([[1] * 5 + [0] * 3, [1] * 4 + [2] * 4], np.int32)
BATCH = {
    "tokens": np.arange(16, dtype=np.int32).reshape(2, LENGTH),
    "segment_ids": SEGMENTS,
    "positions": np.tile(np.arange(LENGTH, dtype=np.int32), (2, 1)),
    "time_gaps": np.zeros((2, LENGTH), np.int32),
}


def make(name, **changes):
  model, config = ENCODERS[name]
  return model(config(**(CONFIG | changes)), rngs=nnx.Rngs(0))


@pytest.mark.slow
def test_each_layer_balances_its_own_experts_and_counts_no_padding():
  graphdef, params, rest = split_model(make("bert"))

  @jax.jit
  def step(params, rest):
    model = merge_model(graphdef, params, rest)
    hidden = model.encode(
        BATCH, deterministic=False, rngs=nnx.Rngs(dropout=jax.random.key(0))
    )
    return hidden, split_model(model)[2]

  hidden, left = step(params, rest)
  assert hidden.shape == (2, LENGTH, 8) and np.isfinite(hidden).all()
  for layer in left["layers"].values():
    balance = layer["moe"]["balance"]
    load = np.asarray(balance["load"])
    assert load.sum() == 2 * (SEGMENTS > 0).sum()
    want = np.float32(1e-3) * np.sign(load.mean() - load)
    np.testing.assert_array_equal(balance["bias"], want)


def test_a_mixture_has_no_plain_net():
  _, params, _ = split_model(make("bert"))
  assert set(params["layers"][0]) == {
      "attention", "attention_norm", "mlp_norm", "moe"
  }


def test_the_reformer_refuses_experts():
  with pytest.raises(ValueError, match="num_experts is 3"):
    make("reformer")


def test_a_config_without_experts_has_none():
  _, make_config = ENCODERS["bert"]
  config = make_config(**CONFIG)
  assert config.experts.num_experts == 3
  assert dataclasses.replace(config, num_experts=0).experts is None
