import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.hashing import chunks_meet
from behavior_lm.attention.hashing import default_buckets
from behavior_lm.attention.hashing import draw_rotations
from behavior_lm.attention.hashing import hash_vectors
from behavior_lm.attention.hashing import sort_tokens


@pytest.mark.slow
@pytest.mark.parametrize("num_buckets", [2, 10, (4, 6)])
def test_buckets_are_the_argmax_of_both_signs(num_buckets):
  rng = np.random.default_rng(0)
  vectors = rng.standard_normal((2, 5, 3, 8)).astype(np.float32)
  rotations = draw_rotations(
      jax.random.key(1),
      num_heads=3,
      head_dim=8,
      num_hashes=2,
      num_buckets=num_buckets,
  )
  got = hash_vectors(jnp.asarray(vectors), rotations, num_buckets)
  factors = np.atleast_1d(num_buckets)
  assert got.shape == (2, 3, 2, 5)
  assert 0 <= got.min() and got.max() < np.prod(factors)
  for b, n, r, i in np.ndindex(got.shape):
    rotated = vectors[b, i, n] @ np.asarray(rotations)[n, :, r]
    parts = np.split(rotated, np.cumsum(factors // 2)[:-1])
    named = [np.argmax([*part, *-part]) for part in parts]
    want = named[0] + (factors[0] * named[1] if len(factors) == 2 else 0)
    assert got[b, n, r, i] == want


@pytest.mark.slow
def test_length_does_not_matter_and_opposites_never_meet():
  vectors = jax.random.normal(jax.random.key(0), (1, 50, 1, 16))
  rotations = draw_rotations(
      jax.random.key(1), num_heads=1, head_dim=16, num_hashes=4, num_buckets=8
  )
  name = lambda x: hash_vectors(x, rotations, 8)
  plain, long, opposite = name(vectors), name(7 * vectors), name(-vectors)
  np.testing.assert_array_equal(plain, long)
  np.testing.assert_array_equal((plain + 4) % 8, opposite)


@pytest.mark.slow
def test_near_vectors_share_a_bucket_more_often_than_far_ones():
  first, noise = jax.random.normal(jax.random.key(0), (2, 1, 2000, 1, 16))
  rotations = draw_rotations(
      jax.random.key(1), num_heads=1, head_dim=16, num_hashes=1, num_buckets=16
  )
  name = lambda x: hash_vectors(x, rotations, 16)
  near = (name(first) == name(first + 0.2 * noise)).mean()
  far = (name(first) == name(noise)).mean()
  assert near > 0.6 and 0.03 < far < 0.1


@pytest.mark.slow
def test_tokens_are_sorted_by_segment_bucket_and_offset():
  ids = jnp.asarray([[2, 2, 0, 1, 1, 1, 0]])
  buckets = jnp.asarray([0, 5, 0, 1, 0, 1, 3]).reshape(1, 1, 1, 7)
  order, place = sort_tokens(buckets, ids)
  np.testing.assert_array_equal(order[0, 0, 0], [4, 3, 5, 0, 1, 2, 6])
  np.testing.assert_array_equal(place[0, 0, 0][order[0, 0, 0]], np.arange(7))


def test_a_chunk_meets_itself_and_the_one_before():
  numbers = jnp.arange(4)
  got = chunks_meet(numbers[:, None], numbers, 4)
  want = [[1, 0, 0, 1], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
  np.testing.assert_array_equal(got, np.asarray(want, bool))


def test_the_number_of_buckets_grows_with_the_length():
  assert default_buckets(10, 64) == 2
  assert default_buckets(512, 64) == 16
  assert default_buckets(4096, 64) == 128
  assert default_buckets(8192, 64) == (16, 16)
  assert default_buckets(16_384, 64) == (16, 32)


@pytest.mark.parametrize("num_buckets", [0, 1, 7, (4, 5)])
def test_an_impossible_number_of_buckets_is_an_error(num_buckets):
  with pytest.raises(ValueError, match="must be even"):
    draw_rotations(
        jax.random.key(0),
        num_heads=1,
        head_dim=2,
        num_hashes=1,
        num_buckets=num_buckets,
    )
