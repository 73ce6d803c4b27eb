import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.layers.experts.balance import Balance
from behavior_lm.layers.experts.balance import balance_figures
from behavior_lm.layers.experts.balance import sequence_loss

RNG = np.random.default_rng(0)


def test_the_share_of_an_epoch_counts_in_the_next_one():
  balance = Balance("share", 4, rate=0.0, period=2)
  scores = jnp.array([0.8, 0.4, 0.4, 0.4])
  np.testing.assert_allclose(balance.affinity(scores), scores * 4)
  balance.update(jnp.array([6, 2, 0, 0]))
  np.testing.assert_allclose(balance.affinity(scores), scores * 4)
  balance.update(jnp.array([2, 4, 2, 0]))
  # Shares 1/2, 3/8, 1/8 and 0, which counts as 1/40.
  np.testing.assert_allclose(
      balance.affinity(scores), [1.6, 0.4 * 8 / 3, 3.2, 16.0], rtol=1e-6
  )
  balance.update(jnp.array([0, 0, 0, 8]))
  balance.update(jnp.array([0, 0, 0, 8]))
  np.testing.assert_allclose(balance.share[...], [0, 0, 0, 1])


def test_a_balanced_step_leaves_the_bias():
  balance = Balance("bias", 3, rate=1e-3, period=1)
  balance.update(jnp.array([4, 4, 4]))
  np.testing.assert_array_equal(balance.bias[...], 0)
  balance.update(jnp.array([5, 4, 3]))
  np.testing.assert_array_equal(
      balance.bias[...], np.float32([-1e-3, 0, 1e-3])
  )


def test_figures_of_balance():
  even = balance_figures(jnp.full(4, 25.0))
  assert float(even["load_excess"]) == 0
  np.testing.assert_allclose(even["load_entropy"], 1, rtol=1e-6)
  assert float(even["dead_experts"]) == 0
  one = balance_figures(jnp.array([100.0, 0, 0, 0]))
  assert float(one["load_excess"]) == 3
  np.testing.assert_allclose(one["load_entropy"], 0, atol=1e-6)
  assert float(one["dead_experts"]) == 0.75


def test_the_sequence_loss_is_the_sum_of_f_times_p():
  scores = RNG.uniform(size=(3, 5, 4)).astype(np.float32)
  chosen = np.argsort(-scores, -1)[..., :2].astype(np.int32)
  routed = np.arange(5) < np.array([[5], [3], [0]])
  losses = []
  for s, c, r in zip(scores[:2], chosen[:2], routed[:2], strict=True):
    f = np.bincount(c[r].ravel(), minlength=4) * 4 / (2 * r.sum())
    p = (s[r] / s[r].sum(-1, keepdims=True)).mean(0)
    losses.append((f * p).sum())
  got = jax.jit(sequence_loss)(scores, chosen, routed)
  np.testing.assert_allclose(got, np.mean(losses), rtol=1e-5)


@pytest.mark.parametrize(
    ("rule", "period", "message"),
    [("luck", 1, "balance 'luck'"), ("share", 0, "balance_period is 0")],
)
def test_a_wrong_rule_is_refused(rule, period, message):
  with pytest.raises(ValueError, match=message):
    Balance(rule, 3, 1e-3, period)
