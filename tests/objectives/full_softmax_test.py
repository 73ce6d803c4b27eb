import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.objectives.full_softmax import FullSoftmax


def test_unknown_items_and_padding_are_no_targets():
  rng = np.random.default_rng(2)
  hidden = rng.normal(size=(1, 5, 3)).astype(np.float32)
  table = rng.normal(size=(9, 3)).astype(np.float32)
  bias = np.where(np.arange(9) < 5, -1e9, 0).astype(np.float32)
  head = {"hidden": hidden, "table": table, "bias": bias}
  batch = {
      "tokens": jnp.array([[3, 6, 2, 8, 0]]),
      "segment_ids": jnp.array([[1, 1, 1, 1, 0]]),
  }
  objective = FullSoftmax(np.ones(4), 5)
  run = jax.jit(
      lambda: objective.loss(
          lambda *_, **__: jax.tree.map(jnp.asarray, head),
          batch,
          {},
          jax.random.key(0),
      )[0]
  )
  scores = hidden[0] @ table[5:].T
  nll = np.log(np.exp(scores).sum(-1)) - scores[np.arange(5), [1, 0, 3, 0, 0]]
  np.testing.assert_allclose(run(), nll[[0, 2]].mean(), rtol=1e-6)
