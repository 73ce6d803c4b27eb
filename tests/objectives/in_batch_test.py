import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives.in_batch import InBatch

SPECIAL, ITEMS, DIM = 5, 6, 4
COUNTS = np.array([9, 4, 3, 2, 1, 1])
RNG = np.random.default_rng(1)
TOKENS = np.array(
    [[3, 5, 6, 7], [3, 8, 6, 0], [3, 9, 6, 5]], np.int32
)
SEGMENTS = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]], np.int32)
BATCH = {"tokens": jnp.asarray(TOKENS), "segment_ids": jnp.asarray(SEGMENTS)}
HIDDEN = RNG.normal(size=(3, 4, DIM)).astype(np.float32)
TABLE = RNG.normal(size=(SPECIAL + ITEMS, DIM)).astype(np.float32)
KEY = jax.random.key(5)


def run(objective):
  def loss(hidden, table):
    model = lambda batch, **_: {"hidden": hidden, "table": table}
    value, metrics, _ = objective.loss(model, BATCH, {}, KEY)
    return value, metrics

  found = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
  return jax.tree.map(np.asarray, found(HIDDEN, TABLE))


def reference(mask, weight):
  """The loss as described, position by position, in float64."""
  draw, _ = jax.random.split(KEY)
  drawn = np.asarray(jax.random.randint(draw, (3, 4), 0, ITEMS))
  hidden, table = HIDDEN.astype(np.float64), TABLE.astype(np.float64)
  log_q = np.log(COUNTS / COUNTS.sum())
  following = np.pad(TOKENS[:, 1:], ((0, 0), (0, 1)))
  real = (following >= SPECIAL) & (SEGMENTS > 0)
  items = np.where(real, following - SPECIAL, drawn)
  total, same_share = 0.0, 0.0
  d_hidden, d_table = np.zeros_like(hidden), np.zeros_like(table)
  for user, place in zip(*np.nonzero(real), strict=True):
    at = items[:, place]
    logits = table[SPECIAL + at] @ hidden[user, place] - weight * log_q[at]
    same = (at == at[user]) & (np.arange(3) != user)
    same_share += same.sum() / 2
    if mask:
      logits[same] = -np.inf
    share = np.exp(logits - logits.max())
    share /= share.sum()
    total -= np.log(share[user])
    share[user] -= 1
    d_hidden[user, place] = share @ table[SPECIAL + at]
    np.add.at(d_table, SPECIAL + at, share[:, None] * hidden[user, place])
  count = real.sum()
  return (
      total / count, d_hidden / count, d_table / count, same_share / count
  )


@pytest.mark.parametrize("mask", [False, True])
def test_labels_at_a_position_are_each_others_candidates(mask):
  objective = InBatch(COUNTS, SPECIAL, 0.7, mask_duplicates=mask)
  (value, metrics), (d_hidden, d_table) = run(objective)
  loss, want_hidden, want_table, same = reference(mask, 0.7)
  np.testing.assert_allclose(value, loss, rtol=2e-6)
  np.testing.assert_allclose(d_hidden, want_hidden, atol=2e-6)
  np.testing.assert_allclose(d_table, want_table, atol=2e-6)
  assert same > 0
  np.testing.assert_allclose(metrics["collisions"], same, rtol=1e-6)
