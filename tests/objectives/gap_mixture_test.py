"""The mixture over gaps: a distribution, and its oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from behavior_lm.objectives.gap_mixture import gap_nll
from behavior_lm.objectives.gap_mixture import sample_gaps


def _random_mixture(shape=(), seed=0, components=3):
  rng = np.random.default_rng(seed)
  mixture = rng.normal(size=(*shape, 3, components)).astype(np.float32)
  mixture[..., 1, :] = rng.uniform(0, 6, (*shape, components))
  return mixture


def _oracle(mixture, gaps):
  logits, centres, log_scales = np.moveaxis(mixture.astype(np.float64), -2, 0)
  weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  scales = np.exp(log_scales)
  cdf = lambda x: 1 / (1 + np.exp(-(np.log(x) - centres) / scales))
  gap = np.asarray(gaps, np.float64)[..., None]
  low = np.where(gap == 0, 0.0, cdf(gap + 0.5))
  return -np.log((weights * (cdf(gap + 1.5) - low)).sum(-1))


@pytest.mark.slow
def test_the_likelihood_is_that_of_the_difference_of_two_sums():
  gaps = np.array([0, 1, 2, 7, 60, 3_000], np.int32)
  mixture = _random_mixture((6,))
  np.testing.assert_allclose(
      gap_nll(jnp.asarray(mixture), gaps), _oracle(mixture, gaps), rtol=2e-4
  )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_probabilities_of_all_gaps_add_up_to_one(seed):
  mixture = _random_mixture(seed=seed)
  mixture[2] = np.minimum(mixture[2], -0.5)
  gaps = np.arange(400_000, dtype=np.int32)
  nats = np.asarray(gap_nll(jnp.asarray(mixture), gaps), np.float64)
  assert np.exp(-nats).sum() == pytest.approx(1.0, abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [0, 1, 10**6, 2**31 - 1])
@pytest.mark.parametrize("log_scale", [-9.0, 0.0, 5.0])
def test_values_and_gradients_are_finite_everywhere(gap, log_scale):
  mixture = jnp.stack([jnp.zeros(2), jnp.array([0.0, 9.0]), jnp.zeros(2)])
  mixture = mixture.at[2].set(log_scale)
  value, gradient = jax.value_and_grad(gap_nll)(mixture, jnp.asarray(gap))
  assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.slow
def test_a_mixture_learns_the_gaps_that_it_sees():
  gaps = jnp.asarray([0] * 5 + [10] * 4 + [36_000], jnp.int32)
  mixture = jnp.zeros((3, 4)).at[1].set(jnp.linspace(0.0, 12.0, 4))
  loss = jax.jit(jax.value_and_grad(lambda m: gap_nll(m, gaps).mean()))
  optimizer = optax.adam(0.05)
  state = optimizer.init(mixture)
  update = jax.jit(optimizer.update)
  for _ in range(300):
    value, gradient = loss(mixture)
    step, state = update(gradient, state)
    mixture += step
  # Ten times 100 ms is told to within a few units, the hour only roughly.
  assert float(gap_nll(mixture, jnp.asarray(0))) < 1.0
  assert float(value) < 2.6


@pytest.mark.slow
def test_sampled_gaps_have_the_probabilities_of_the_likelihood():
  mixture = jnp.asarray([[0.3, -0.2], [0.5, 2.0], [-0.5, -1.0]])
  many = jnp.broadcast_to(mixture, (40_000, *mixture.shape))
  gaps = np.asarray(sample_gaps(many, jax.random.key(0)))
  for gap in (0, 1, 5, 9):
    want = float(np.exp(-gap_nll(mixture, jnp.int32(gap))))
    # Four standard deviations of a share of 40,000.
    assert abs((gaps == gap).mean() - want) < 4 * (want / 40_000) ** 0.5
