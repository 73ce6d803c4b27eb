from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.layers.adapters.soft_prompt import add_soft_prompt
from behavior_lm.layers.adapters.soft_prompt import SoftPrompt
from tests.layers.adapters.lora_test import batch
from tests.layers.adapters.lora_test import tiny_encoder


def test_ids_behind_the_vocabulary_have_the_vectors():
  table = jnp.arange(12.0).reshape(4, 3)
  made = SoftPrompt(2, table, rngs=nnx.Rngs(0))
  tokens = np.array([[0, 5, 3, 4, 4]], np.int32)
  got = made(tokens, lambda ids: table[ids])
  vectors = np.asarray(made.vectors[...])
  want = [table[0], vectors[1], table[3], vectors[0], vectors[0]]
  np.testing.assert_array_equal(got[0], want)
  with pytest.raises(ValueError, match="at least 1"):
    SoftPrompt(0, table, rngs=nnx.Rngs(0))


@pytest.mark.slow
def test_an_encoder_reads_its_soft_prompt():
  encoder = tiny_encoder(num_layers=1)
  add_soft_prompt(encoder, 2, rngs=nnx.Rngs(1))
  fields = batch() | {"tokens": np.where(batch()["positions"] == 1, 21, 5)}
  graph, state = nnx.split(encoder)

  def loss(state):
    hidden = nnx.merge(graph, state).encode(fields)
    return (hidden * jnp.cos(jnp.arange(8))).sum()

  gradient = jax.jit(jax.grad(loss))(state)["embed"]["soft_prompt"]["vectors"]
  rows = np.asarray(gradient[...])
  # Id 21 is the second vector of a vocabulary of 20; nobody reads the first.
  assert rows[1].any() and not rows[0].any()
