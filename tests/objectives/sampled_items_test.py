import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives.sampled_items import BinaryCrossEntropy
from behavior_lm.objectives.sampled_items import SampledSoftmax

SPECIAL, ITEMS, DIM = 5, 9, 4
COUNTS = np.arange(1, ITEMS + 1)
RNG = np.random.default_rng(0)
# Two rows: a packed one of two sequences, and one with padding behind.
TOKENS = np.array([[3, 6, 7, 3, 8, 9], [3, 13, 5, 6, 0, 0]], np.int32)
SEGMENTS = np.array([[1, 1, 1, 2, 2, 2], [1, 1, 1, 1, 0, 0]], np.int32)
BATCH = {"tokens": jnp.asarray(TOKENS), "segment_ids": jnp.asarray(SEGMENTS)}
HIDDEN = RNG.normal(size=(2, 6, DIM)).astype(np.float32)
TABLE = RNG.normal(size=(SPECIAL + ITEMS, DIM)).astype(np.float32)
KEY = jax.random.key(3)


def run(objective):
  """Value, metrics and gradients by hidden and table."""

  @jax.jit
  def both(hidden, table):
    def loss(hidden, table):
      model = lambda batch, **_: {
          "hidden": hidden, "table": table, "bias": jnp.zeros(len(table))
      }
      value, metrics, _ = objective.loss(model, BATCH, {}, KEY)
      return value, metrics

    return jax.value_and_grad(loss, (0, 1), has_aux=True)(hidden, table)

  return jax.tree.map(np.asarray, both(HIDDEN, TABLE))


def drawn(objective):
  """The negatives that `run` meets: [batch, length, n]."""
  key, _ = jax.random.split(KEY)
  targets, weights = labels()
  items, log_number = objective.draw(
      key, jnp.asarray(targets), jnp.asarray(weights)
  )
  shape = (*targets.shape, items.shape[-1])
  return np.broadcast_to(items, shape), float(log_number)


def labels():
  following = np.pad(TOKENS[:, 1:], ((0, 0), (0, 1)))
  same = np.pad(SEGMENTS[:, 1:], ((0, 0), (0, 1))) == SEGMENTS
  valid = same & (SEGMENTS > 0) & (following >= SPECIAL)
  return np.maximum(following - SPECIAL, 0), valid.astype(np.float32)


def reference(objective, slopes):
  """Sums over positions in float64: loss, and its gradients.

  `slopes` gives loss, d loss / d positive and d loss / d negatives.
  """
  negatives, log_number = drawn(objective)
  targets, weights = labels()
  hidden, table = HIDDEN.astype(np.float64), TABLE.astype(np.float64)
  total, d_hidden, d_table = 0.0, np.zeros_like(hidden), np.zeros_like(table)
  collisions = 0.0
  for row, place in zip(*np.nonzero(weights), strict=True):
    target, state = targets[row, place], hidden[row, place]
    found = negatives[row, place]
    kept = found[(found != target) & (found >= 0)]
    collisions += (found == target).mean()
    loss, up, down = slopes(
        table[SPECIAL + target] @ state,
        table[SPECIAL + kept] @ state,
        target,
        kept,
        log_number,
    )
    total += loss
    d_table[SPECIAL + target] += up * state
    np.add.at(d_table, SPECIAL + kept, down[:, None] * state)
    d_hidden[row, place] = up * table[SPECIAL + target]
    d_hidden[row, place] += down @ table[SPECIAL + kept]
  count = weights.sum()
  return total / count, d_hidden / count, d_table / count, collisions / count


def compare(objective, slopes):
  (value, metrics), (d_hidden, d_table) = run(objective)
  loss, want_hidden, want_table, collisions = reference(objective, slopes)
  np.testing.assert_allclose(value, loss, rtol=2e-6)
  np.testing.assert_allclose(metrics["collisions"], collisions, rtol=1e-6)
  np.testing.assert_allclose(d_hidden, want_hidden, atol=2e-6)
  np.testing.assert_allclose(d_table, want_table, atol=2e-6)
  return metrics


def softmax_slopes(objective):
  log_q = np.log(COUNTS / COUNTS.sum())
  if objective.source == "uniform":
    log_q = np.full(ITEMS, -np.log(ITEMS))

  def slopes(positive, negatives, target, kept, log_number):
    if objective.correction != "none":
      negatives = negatives - log_q[kept] - log_number
    if objective.correction == "classic":
      positive = positive - log_q[target] - log_number
    scores = np.append(negatives, positive)
    powers = np.exp(scores - scores.max())
    share = powers / powers.sum()
    return -np.log(share[-1]), share[-1] - 1, share[:-1]

  return slopes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "shared", "number", "correction"),
    [
        ("uniform", False, 6, "negatives"),
        ("popularity", False, 5, "classic"),
        ("popularity", True, 7, "none"),
        ("batch", True, 4, "negatives"),
        ("batch", True, 0, "classic"),
    ],
)
def test_sampled_softmax_and_its_gradient(source, shared, number, correction):
  objective = SampledSoftmax(
      COUNTS, SPECIAL, number, shared, source, correction
  )
  metrics = compare(objective, softmax_slopes(objective))
  assert metrics["collisions"] > 0 or source == "uniform"


@pytest.mark.slow
@pytest.mark.parametrize(("shared", "calibration"), [(False, 0), (True, 0.75)])
def test_binary_cross_entropy_and_its_gradient(shared, calibration):
  objective = BinaryCrossEntropy(
      COUNTS, SPECIAL, 4, shared, calibration=calibration
  )
  alpha = 4 / (ITEMS - 1)
  beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)

  def slopes(positive, negatives, *_):
    sigmoid = lambda x: 1 / (1 + np.exp(-x))
    loss = -beta * np.log(sigmoid(positive))
    loss -= np.log(1 - sigmoid(negatives)).sum()
    up = beta * (sigmoid(positive) - 1)
    return loss / 5, up / 5, sigmoid(negatives) / 5

  compare(objective, slopes)


@pytest.mark.slow
def test_corrected_negatives_estimate_all_other_items():
  # exp of the negatives' corrected scores adds up to that of all other items.
  objective = SampledSoftmax(COUNTS, SPECIAL, 4_000, True, "popularity")
  (value, _), _ = run(objective)
  targets, weights = labels()
  scores = HIDDEN @ TABLE[SPECIAL:].T
  own = np.take_along_axis(scores, targets[..., None], -1)[..., 0]
  full = (np.log(np.exp(scores).sum(-1)) - own)[weights > 0].mean()
  np.testing.assert_allclose(value, full, rtol=0.03)


def test_draws_follow_popularity():
  objective = SampledSoftmax(COUNTS, SPECIAL, 20_000, True, "popularity")
  items, _ = objective.draw(jax.random.key(0), *map(jnp.asarray, labels()))
  share = np.bincount(items, minlength=ITEMS) / 20_000
  np.testing.assert_allclose(share, COUNTS / COUNTS.sum(), atol=0.015)


def test_settings_without_a_meaning_are_refused():
  for wrong in (
      dict(source="none"),
      dict(source="batch", shared=False),
      dict(num_negatives=0),
      dict(correction="twice"),
  ):
    with pytest.raises(ValueError):
      SampledSoftmax(COUNTS, SPECIAL, **wrong)
