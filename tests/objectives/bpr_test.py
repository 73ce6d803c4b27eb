import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives.bpr import Bpr
from behavior_lm.objectives.bpr import InBatchUsers
from behavior_lm.objectives.bpr import prefer

RNG = np.random.default_rng(0)
USERS, DIM = 6, 4
LONG = RNG.normal(size=(USERS, DIM)).astype(np.float32)
SHORT = RNG.normal(size=(USERS, DIM)).astype(np.float32)
BATCH = {
    # User 3 is there twice, and is no negative of the own.
    "row_user": jnp.array([0, 1, 2, 3, 3, 4]),
    "short_popularity": jnp.array([0.0, 1.0, 1.1, 5.0, 5.2, 9.0]),
    "short_category": jnp.array([7, 8, 7, 8, 9, 7]),
}
OWN = np.asarray(BATCH["row_user"])[:, None] == np.asarray(BATCH["row_user"])
KEY = jax.random.key(3)


def run(objective):
  def loss(long, short):
    model = lambda batch, **_: {
        "long": long,
        "short": short,
        "sequence_loss": jnp.asarray(2.0),
        "figures": {"load_excess": jnp.asarray(0.5)},
    }
    value, metrics, _ = objective.loss(model, BATCH, {}, KEY)
    return value, metrics

  found = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
  return jax.tree.map(np.asarray, found(LONG, SHORT))


def cosines(long, short):
  a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (long, short))
  return a @ b.T


def check_gradient(objective, reference):
  """Value and gradient against a reference in float64, by differences."""
  (value, metrics), grads = run(objective)
  long, short = LONG.astype(np.float64), SHORT.astype(np.float64)
  np.testing.assert_allclose(value, reference(long, short), rtol=1e-5)
  for place, grad in enumerate(grads):
    for at in ((0, 0), (2, 3), (5, 1)):
      ends = []
      for sign in (1, -1):
        both = [long.copy(), short.copy()]
        both[place][at] += sign * 1e-5
        ends.append(reference(*both))
      slope = (ends[0] - ends[1]) / 2e-5
      np.testing.assert_allclose(grad[at], slope, atol=2e-5)
  return metrics


def test_bpr_is_the_log_sigmoid_of_the_difference_of_cosines():
  objective = Bpr(source="popularity", num_negatives=2, scale=3.0)
  popularity = np.asarray(BATCH["short_popularity"])

  def reference(long, short):
    cos = cosines(long, short)
    total = 0.0
    for user in range(USERS):
      others = np.flatnonzero(~OWN[user])
      gap = np.abs(popularity[others] - popularity[user])
      near = others[np.argsort(gap, kind="stable")[:2]]
      apart = 3.0 * (cos[user, user] - cos[user, near])
      total += np.log1p(np.exp(-apart)).mean()
    return total / USERS

  metrics = check_gradient(objective, reference)
  assert metrics["load_excess"] == 0.5
  cos = np.where(OWN, -9, cosines(LONG, SHORT))
  own = np.diagonal(cosines(LONG, SHORT))
  np.testing.assert_allclose(
      metrics["hit_in_batch"], (own > cos.max(1)).mean()
  )


def test_the_softmax_is_over_all_other_users_of_the_batch():
  objective = InBatchUsers(temperature=0.5, sequence_weight=0.25)

  def reference(long, short):
    cos = cosines(long, short) / 0.5
    own = np.diagonal(cos)
    logits = np.where(OWN & ~np.eye(USERS, dtype=bool), -np.inf, cos)
    every = np.log(np.exp(logits).sum(1))
    return (every - own).mean() + 0.25 * 2.0

  check_gradient(objective, reference)


@pytest.mark.slow
def test_one_negative_as_described_is_another_user():
  (value, _), _ = run(Bpr())
  cos = cosines(LONG, SHORT)
  apart = np.diagonal(cos)[:, None] - cos
  losses = np.where(OWN, np.nan, np.log1p(np.exp(-apart)))
  assert np.nanmin(losses, 1).mean() <= value + 1e-6
  assert value <= np.nanmax(losses, 1).mean() + 1e-6


def test_negatives_of_the_same_category_come_first():
  order = np.array(prefer("category", BATCH, KEY))
  order[OWN] = -1
  best = np.argsort(-order[0])[:2]
  assert set(best) == {2, 5}


def test_an_unknown_source_is_refused():
  with pytest.raises(ValueError, match="source 'luck'"):
    Bpr(source="luck")
