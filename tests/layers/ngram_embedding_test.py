from flax import nnx
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.layers.ngram_embedding import ngram_rows
from behavior_lm.layers.ngram_embedding import NgramEmbedding

ORDER, BUCKETS, WIDTH = 3, 64, 4


@pytest.fixture(scope="module")
def layer():
  made = NgramEmbedding(ORDER, BUCKETS, WIDTH, rngs=nnx.Rngs(0))
  table = made.table.embedding[...]
  rng = np.random.default_rng(0)
  made.table.embedding[...] = jnp.asarray(rng.normal(size=table.shape))
  return made


def test_it_equals_a_loop_over_tokens(layer):
  rng = np.random.default_rng(1)
  tokens = rng.integers(0, 50, (3, 12)).astype(np.int32)
  segments = np.sort(rng.integers(1, 4, (3, 12)), 1).astype(np.int32)
  got = np.asarray(layer(tokens, segments))
  rows = [np.asarray(row) for row in ngram_rows(tokens, ORDER, BUCKETS)]
  table = np.asarray(layer.table.embedding[...])
  want = np.zeros_like(got)
  for b in range(3):
    for t in range(12):
      for n in range(2, ORDER + 1):
        first = t - n + 1
        if first >= 0 and segments[b, first] == segments[b, t]:
          want[b, t] += table[(n - 2) * BUCKETS + rows[n - 2][b, t]]
  np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.slow
def test_packed_segments_are_read_as_alone(layer):
  tokens = np.asarray([[7, 8, 9, 10, 7, 8, 9, 10]], np.int32)
  packed = layer(tokens, np.asarray([[1] * 4 + [2] * 4], np.int32))
  alone = layer(tokens[:, :4], np.ones((1, 4), np.int32))
  np.testing.assert_array_equal(packed[:, :4], alone)
  np.testing.assert_array_equal(packed[:, 4:], alone)


def test_no_token_reads_a_later_one(layer):
  tokens = np.arange(10, 18, dtype=np.int32)[None]
  segments = np.ones((1, 8), np.int32)
  changed = tokens.copy()
  changed[0, 5] = 40
  a, b = layer(tokens, segments), layer(changed, segments)
  np.testing.assert_array_equal(a[:, :5], b[:, :5])
  assert np.abs(np.asarray(a - b))[0, 5:].max(-1).all()


def test_rows_shorter_than_an_ngram_are_served(layer):
  assert layer(np.ones((2, 1), np.int32), np.ones((2, 1), np.int32)).shape == (
      2, 1, WIDTH,
  )


def test_hashes_of_different_ngrams_spread():
  pairs = np.stack(np.meshgrid(np.arange(60), np.arange(60)), -1)
  tokens = pairs.reshape(-1, 2).astype(np.int32)
  rows = np.asarray(ngram_rows(tokens, 2, 4096)[0])[:, 1]
  used = len(np.unique(rows))
  # 3,600 balls in 4,096 boxes fill 58 % of them.
  assert used > 0.55 * 4096
  # The order of two tokens counts.
  swapped = np.asarray(ngram_rows(tokens[:, ::-1], 2, 4096)[0])[:, 1]
  assert (rows == swapped).mean() < 0.05


def test_a_model_starts_as_it_would_without():
  made = NgramEmbedding(2, 8, WIDTH, rngs=nnx.Rngs(0))
  tokens = np.ones((1, 3), np.int32)
  assert not np.asarray(made(tokens, tokens)).any()


@pytest.mark.parametrize("order, buckets", [(1, 8), (2, 0)])
def test_sizes_without_a_meaning_are_refused(order, buckets):
  with pytest.raises(ValueError, match="ngram_order"):
    NgramEmbedding(order, buckets, WIDTH, rngs=nnx.Rngs(0))
