import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.hashing import draw_rotations
from behavior_lm.attention.hashing import hash_vectors
from experiments.studies.lsh.recall import top_key_recall


def clustered(key, length=256, clusters=16):
  """Vectors around a few directions: attention with something to find."""
  names, centres, noise = jax.random.split(key, 3)
  which = jax.random.randint(names, (1, length, 1), 0, clusters)
  centres = jax.random.normal(centres, (clusters, 16))
  return centres[which] + 0.3 * jax.random.normal(noise, (1, length, 1, 16))


@pytest.mark.slow
def test_more_rounds_find_more_of_the_best_keys():
  vectors = clustered(jax.random.key(0))
  rotations = draw_rotations(
      jax.random.key(1), num_heads=1, head_dim=16, num_hashes=8, num_buckets=16
  )
  shared = dict(
      segment_ids=jnp.ones((1, 256), jnp.int32), chunk_size=16, top_k=8
  )
  hashed = top_key_recall(
      vectors, buckets=hash_vectors(vectors, rotations, 16), **shared
  )
  assert np.all(np.diff(hashed) >= 0)
  assert hashed[0] > 0.4 and hashed[-1] > 0.9
  blind = jax.random.randint(jax.random.key(2), (1, 1, 8, 256), 0, 16)
  by_chance = top_key_recall(vectors, buckets=blind, **shared)
  # Two chunks of 16 hold an eighth of the keys.
  assert 0.08 < by_chance[0] < 0.17


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
def test_one_chunk_finds_everything_in_every_segment(causal):
  vectors = jax.random.normal(jax.random.key(0), (1, 12, 2, 4))
  ids = jnp.asarray([[1] * 5 + [2] * 4 + [0] * 3])
  found = top_key_recall(
      vectors,
      buckets=jnp.zeros((1, 2, 1, 12), jnp.int32),
      segment_ids=ids,
      chunk_size=12,
      top_k=12,
      causal=causal,
  )
  np.testing.assert_array_equal(found, [1.0])


@pytest.mark.slow
def test_the_best_keys_are_counted_by_hand():
  # Along a quarter circle, the best key of a token is the other of its pair.
  angles = jnp.arange(4) * 0.3 + jnp.asarray([0, 0, 0.2, 0.2])
  vectors = jnp.stack([jnp.cos(angles), jnp.sin(angles)], -1)[None, :, None]
  found = top_key_recall(
      vectors,
      buckets=jnp.asarray([[[[0, 1, 2, 3], [0, 0, 1, 1]]]]),
      segment_ids=jnp.ones((1, 4), jnp.int32),
      chunk_size=1,
      top_k=1,
  )
  # With chunks of one a token sees the one before it: right for 1 and 3.
  np.testing.assert_allclose(found, [0.5, 0.5])


def test_too_many_top_keys_are_an_error():
  with pytest.raises(ValueError, match="top_k 5"):
    top_key_recall(
        jnp.zeros((1, 4, 1, 2)),
        buckets=jnp.zeros((1, 1, 1, 4), jnp.int32),
        segment_ids=jnp.ones((1, 4), jnp.int32),
        chunk_size=2,
        top_k=5,
    )
