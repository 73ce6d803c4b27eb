from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.next_item import NextItem
from behavior_lm.models.next_item import places_from_end

TOKENS = jnp.array([[3, 6, 7, 8, 3, 9, 10, 0]], jnp.int32)
SEGMENTS = jnp.array([[1, 1, 1, 1, 2, 2, 2, 0]], jnp.int32)
BATCH = {
    "tokens": TOKENS,
    "segment_ids": SEGMENTS,
    "positions": jnp.array([[0, 1, 2, 3, 0, 1, 2, 0]], jnp.int32),
    "time_gaps": jnp.full((1, 8), -1, jnp.int32),
}


def make(name="bert", **options):
  config = ENCODERS[name][1](
      vocab_size=12,
      num_layers=1,
      embed_dim=8,
      num_heads=1,
      mlp_dim=16,
      max_length=8,
      max_segments=2,
      time_encoding="none",
      norm_position="pre",
      causal=True,
      dropout_rate=0.0,
  )
  values = dict(num_special=5, tied=True, from_end=True) | options
  return NextItem(name, config, rngs=nnx.Rngs(0), **values)


def test_places_count_the_tokens_behind_within_a_segment():
  found = places_from_end(SEGMENTS)[0, :7]
  assert found.tolist() == [3, 2, 1, 0, 2, 1, 0]


@pytest.mark.parametrize("name", ["bert", "ligr"])
def test_no_state_depends_on_a_later_item(name):
  model = make(name)
  run = jax.jit(lambda tokens: model({**BATCH, "tokens": tokens})["hidden"])
  before = run(TOKENS)
  after = run(TOKENS.at[0, 3].set(11).at[0, 6].set(11))
  changed = np.abs(np.asarray(before - after)).max((0, 2)) > 0
  assert changed.tolist() == [False] * 3 + [True] + [False] * 2 + [True, False]


@pytest.mark.slow
@pytest.mark.parametrize("from_end", [True, False])
def test_the_user_vector_is_what_training_saw_without_the_last_item(from_end):
  model = make(from_end=from_end)
  hidden = jax.jit(lambda: model(BATCH)["hidden"])()
  alone = {
      name: jnp.pad(x[:, :3], ((0, 0), (0, 5))) for name, x in BATCH.items()
  }
  vector = jax.jit(
      lambda: model.user_vectors(alone, jnp.array([[2]], jnp.int32))
  )()
  np.testing.assert_allclose(vector[0], hidden[0, 2], atol=1e-5)


def test_special_tokens_are_never_recommended():
  model = make(tied=False)
  head = jax.jit(lambda: model(BATCH))()
  assert (np.asarray(head["bias"]) < -1e8).tolist() == [True] * 5 + [False] * 7
  assert head["table"].shape == (12, 8)
