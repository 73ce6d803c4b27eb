import jax
import numpy as np
import pytest

from behavior_lm import Embedder
from tests.inference.fake_runs import make_run
from tests.inference.fake_runs import random_sequences


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
  return Embedder.load(make_run(tmp_path_factory.mktemp("run")))


@pytest.mark.slow
def test_the_arrays_give_the_vectors_of_the_embedder(embedder):
  sequences = random_sequences([3, 9, 14])
  batch = embedder.inputs(sequences)
  assert {x.shape for x in batch.values()} == {(3, 16)}
  vectors = jax.jit(embedder.apply)(embedder.params, batch)
  want = embedder.encode(sequences)
  np.testing.assert_allclose(vectors, want, atol=1e-5)


def test_the_end_of_a_long_sequence_is_read(embedder):
  long = random_sequences([200])[0]
  size = embedder.max_length - 1
  batch = embedder.inputs([long])
  assert batch["tokens"].shape == (1, embedder.max_length)
  np.testing.assert_array_equal(batch["tokens"][0, 1:], long["tokens"][-size:])


@pytest.mark.slow
def test_the_gradient_is_the_change_of_the_vectors(embedder):
  batch = embedder.inputs(random_sequences([5, 12]))
  rng = np.random.default_rng(0)
  out = rng.normal(size=(2, embedder.embed_dim)).astype(np.float32)
  run = jax.jit(lambda params: (embedder.apply(params, batch) * out).sum())
  gradient = jax.jit(jax.grad(run))(embedder.params)
  step = jax.tree.map(
      lambda x: rng.normal(size=x.shape).astype(np.float32), embedder.params
  )
  moved = lambda t: jax.tree.map(
      lambda x, d: x + t * d, embedder.params, step
  )
  want = sum(
      np.vdot(g, d)
      for g, d in zip(
          jax.tree.leaves(gradient), jax.tree.leaves(step), strict=True
      )
  )
  found = (float(run(moved(1e-3))) - float(run(moved(-1e-3)))) / 2e-3
  assert found == pytest.approx(want, rel=2e-2)
  # The head of pretraining has no part in it.
  assert not any(leaf.any() for leaf in jax.tree.leaves(gradient["head"]))
