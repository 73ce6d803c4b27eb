import functools

from hypothesis import given
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives.labels import label_sums
from behavior_lm.objectives.labels import Labels
from behavior_lm.objectives.labels import means
from behavior_lm.objectives.labels import predictions
from behavior_lm.objectives.labels import Target

# One of each kind; 1 + 3 + 3 + 1 outputs, 1 + 1 + 3 + 1 columns.
TARGETS = (
    Target("bot", "binary", class_weights=(0.5, 2.0)),
    Target("map", "multi_class", 3, weight=0.5, class_weights=(1.0, 2.0, 3.0)),
    Target("tags", "multi_label", 3, class_weights=(1.0, 4.0, 2.0)),
    Target("spend", "regression", weight=2.0),
)
OUTPUTS, COLUMNS = 8, 6


def data(seed=0, shape=(4, 3)):
  """Outputs, labels with holes and weights with padding."""
  rng = np.random.default_rng(seed)
  z = rng.normal(size=(*shape, OUTPUTS)).astype(np.float32)
  labels = np.concatenate(
      [
          rng.integers(0, 2, (*shape, 1)),
          rng.integers(0, 3, (*shape, 1)),
          rng.integers(0, 2, (*shape, 3)),
          rng.normal(size=(*shape, 1)),
      ],
      -1,
  ).astype(np.float32)
  hole = rng.random((*shape, 4)) < 0.3
  labels[..., 0][hole[..., 0]] = np.nan
  labels[..., 1][hole[..., 1]] = -1
  labels[..., 2:5][hole[..., 2]] = np.nan
  labels[..., 5][hole[..., 3]] = np.nan
  weights = rng.choice([0.0, 0.5, 2.0], shape).astype(np.float32)
  return z, labels, weights


class Fixed:
  """Gives the same outputs whatever it reads."""

  def __init__(self, outputs):
    self.outputs = outputs

  def __call__(self, batch, *, deterministic, rngs):
    assert not deterministic
    rngs.dropout()
    return self.outputs


@jax.jit
def run(z, labels, weights):
  batch = {"labels": labels, "weights": weights}
  return Labels(TARGETS).loss(Fixed(z), batch, {}, jax.random.key(0))[:2]


def oracle(z, labels, weights):
  """Loss and metrics, example by example, as the formulas say."""
  shape = labels.shape[:-1]
  if weights.shape == shape:
    weights = np.repeat(weights[..., None], len(TARGETS), -1)
  sums = {t.name: np.zeros(4) for t in TARGETS}
  for at in np.ndindex(*shape):
    x, y = z[at].astype(np.float64), labels[at].astype(np.float64)
    p = 1 / (1 + np.exp(-x))
    bce = lambda p, y: -np.log(p if y else 1 - p)
    e = np.exp(x[1:4])
    w = weights[at]
    if not np.isnan(y[0]):
      loss = bce(p[0], y[0])
      factor = (0.5, 2.0)[int(y[0])]
      hit = (p[0] > 0.5) == y[0]
      sums["bot"] += w[0] * np.array([1, loss * factor, loss, hit])
    if y[1] >= 0:
      k = int(y[1])
      loss = -np.log(e[k] / e.sum())
      hit = e.argmax() == k
      sums["map"] += w[1] * np.array([1, loss * (1, 2, 3)[k], loss, hit])
    if not np.isnan(y[2]):
      found = [bce(p[4 + i], y[2 + i]) for i in range(3)]
      factor = [(1, 4, 2)[i] if y[2 + i] else 1 for i in range(3)]
      hits = [(p[4 + i] > 0.5) == y[2 + i] for i in range(3)]
      weighted = np.multiply(found, factor)
      sums["tags"] += w[2] * np.array(
          [1, *map(np.mean, (weighted, found, hits))]
      )
    if not np.isnan(y[5]):
      error = (x[7] - y[5]) ** 2
      sums["spend"] += w[3] * np.array([1, error, error, error])
  loss = sum(t.weight * sums[t.name][1] / sums[t.name][0] for t in TARGETS)
  metrics = {"loss": loss}
  for t in TARGETS:
    total, _, plain, figure = sums[t.name]
    metrics[f"loss/{t.name}"] = plain / total
    name = "squared_error" if t.kind == "regression" else "accuracy"
    metrics[f"{name}/{t.name}"] = figure / total
  return loss, metrics


@pytest.mark.parametrize("shape", [(9,), (4, 3)], ids=["rows", "segments"])
def test_loss_and_metrics_equal_the_formulas(shape):
  z, labels, weights = data(shape=shape)
  loss, metrics = run(z, labels, weights)
  want, wanted = oracle(z, labels, weights)
  assert float(loss) == pytest.approx(want, rel=1e-5)
  assert metrics.keys() == wanted.keys()
  for name, value in wanted.items():
    assert float(metrics[name]) == pytest.approx(value, rel=1e-5), name


def test_each_label_may_have_weights_of_its_own():
  z, labels, _ = data(1)
  weights = np.random.default_rng(2).choice([0, 1, 3], (*z.shape[:-1], 4))
  weights = weights.astype(np.float32)
  loss, _ = run(z, labels, weights)
  assert float(loss) == pytest.approx(oracle(z, labels, weights)[0], rel=1e-5)


add_up = jax.jit(functools.partial(label_sums, TARGETS))


@pytest.mark.slow
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_sums_of_parts_are_the_sums_of_the_whole(seed, cut):
  arrays = data(seed)
  of = lambda rows: add_up(*(array[rows] for array in arrays))
  parts = jax.tree.map(jnp.add, of(slice(cut)), of(slice(cut, None)))
  whole = of(slice(None))
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), parts, whole
  )


def test_missing_labels_and_padding_take_no_gradient():
  z, labels, weights = data(3)
  # Padding may hold anything, even what is no number.
  z[weights == 0] = np.nan
  gradient = np.asarray(
      jax.jit(jax.grad(lambda z: run(z, labels, weights)[0]))(z)
  )
  assert np.isfinite(gradient).all()
  assert not gradient[weights == 0].any()
  real = weights > 0
  assert not gradient[..., 0][np.isnan(labels[..., 0])].any()
  assert not gradient[..., 1:4][labels[..., 1] < 0].any()
  assert gradient[..., 0][real & ~np.isnan(labels[..., 0])].all()


def test_a_batch_without_a_known_label_has_loss_0():
  z, labels, weights = data()
  loss, _ = run(z, np.full_like(labels, np.nan), weights)
  assert float(loss) == 0.0
  loss, _ = run(z, labels, np.zeros_like(weights))
  assert float(loss) == 0.0


def test_the_scale_of_weights_does_not_matter():
  z, labels, weights = data()
  small = run(z, labels, weights * 1e-3)[0]
  assert float(small) == pytest.approx(float(run(z, labels, weights)[0]), 1e-5)


def test_predictions_are_probabilities_and_numbers():
  z, _, _ = data()
  found = predictions(TARGETS, jnp.asarray(z))
  np.testing.assert_allclose(found["bot"], 1 / (1 + np.exp(-z[..., 0])), 1e-5)
  np.testing.assert_allclose(found["map"].sum(-1), 1, rtol=1e-5)
  assert found["tags"].shape == (4, 3, 3)
  np.testing.assert_array_equal(found["spend"], z[..., 7])


def test_means_divide_by_all_weights_of_the_known():
  sums = {"bot": {"weight": 4.0, "weighted": 2.0, "loss": 1.0, "accuracy": 3.0}}
  sums = jax.tree.map(jnp.float32, sums)
  loss, metrics = means(TARGETS[:1], sums)
  assert float(loss) == 0.5
  assert float(metrics["accuracy/bot"]) == 0.75


@pytest.mark.parametrize(
    "values, words",
    [
        (dict(kind="rank"), "known are"),
        (dict(kind="multi_class", num_classes=1), "1 classes do not fit"),
        (dict(kind="binary", num_classes=2), "2 classes do not fit"),
        (dict(kind="binary", class_weights=(1.0,)), "takes 2"),
        (dict(kind="regression", class_weights=(1.0,)), "takes none"),
        (dict(kind="binary", weight=-1.0), "negative"),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(values, words):
  with pytest.raises(ValueError, match=words):
    Target("a", **values)


def test_arrays_of_another_width_are_refused():
  z, labels, weights = data()
  with pytest.raises(ValueError, match="outputs of shape .* the 8 numbers"):
    label_sums(TARGETS, z[..., 1:], labels, weights)
  with pytest.raises(ValueError, match="labels of shape"):
    label_sums(TARGETS, z, labels[..., 1:], weights)
  with pytest.raises(ValueError, match="no labels"):
    Labels(())
