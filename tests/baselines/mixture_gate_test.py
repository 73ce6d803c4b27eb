"""Mixture weights."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.baselines.mixture_gate import MixtureGate


def evidence(shape, rng):
  totals = rng.integers(0, 50, shape).astype(np.float32)
  totals[:, -1] = 1
  return totals, np.minimum(totals, rng.integers(1, 9, shape))


@given(st.integers(0, 2**31))
def test_weights_sum_to_one_and_skip_the_unknown(seed):
  rng = np.random.default_rng(seed)
  totals, types = evidence((40, 5), rng)
  patterns = rng.integers(0, 4, 40)
  gate = MixtureGate(5, 4)
  gate.fit(rng.uniform(0.1, 1, (40, 5)), totals, types, patterns)
  weights = gate.weights(totals, types, patterns)
  np.testing.assert_allclose(weights.sum(axis=1), 1)
  assert (weights[totals == 0] == 0).all()
  assert (weights[totals > 0] > 0).all()


@pytest.mark.parametrize("told_by", ["totals", "types", "patterns"])
def test_it_finds_the_weights_that_made_the_data(told_by):
  rng = np.random.default_rng(0)
  n = 20_000
  # Two experts over three tokens; the truth mixes them by what is told.
  experts = np.array([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7]])
  much = rng.random(n) < 0.5
  true_weight = np.where(much, 0.9, 0.25)
  mixture = true_weight[:, None] * experts[0]
  mixture += (1 - true_weight[:, None]) * experts[1]
  tokens = (rng.random(n)[:, None] > np.cumsum(mixture, axis=1)).sum(axis=1)
  given = {name: np.ones((n, 2)) for name in ("totals", "types")}
  given["patterns"] = np.zeros(n, np.int64)
  if told_by == "patterns":
    given["patterns"] = much.astype(np.int64)
  else:
    given[told_by][:, 0] = np.where(much, 100, 3)
  gate = MixtureGate(2, 2)
  gate.fit(experts[:, tokens].T, **given)
  np.testing.assert_allclose(
      gate.weights(**given)[:, 0], true_weight, atol=0.03
  )


@given(st.integers(0, 2**31))
def test_it_is_no_worse_than_equal_weights(seed):
  rng = np.random.default_rng(seed)
  totals, types = evidence((60, 4), rng)
  patterns = rng.integers(0, 2, 60)
  probs = rng.uniform(0.01, 1, (60, 4))
  known = totals > 0
  equal = (probs * known).sum(axis=1) / known.sum(axis=1)
  gate = MixtureGate(4, 2)
  reached = gate.fit(probs, totals, types, patterns)
  assert reached <= -np.log(equal).mean() + 1e-9
  own = (gate.weights(totals, types, patterns) * probs).sum(axis=1)
  assert reached == pytest.approx(-np.log(own).mean(), abs=1e-9)


def test_a_token_that_no_known_expert_allows_is_refused():
  gate = MixtureGate(2, 1)
  ones, patterns = np.ones((1, 2)), np.zeros(1, np.int64)
  totals = np.array([[0.0, 1.0]])
  with pytest.raises(ValueError, match="probability 0"):
    gate.fit(np.array([[0.5, 0.0]]), totals, ones, patterns)
  with pytest.raises(ValueError, match="no events"):
    gate.fit(*(np.zeros((0, 2)),) * 3, np.zeros(0, np.int64))
