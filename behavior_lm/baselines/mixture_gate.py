"""Weights of a mixture of count distributions, by what each has counted.

Jelinek-Mercer interpolation with bucketed weights, for experts that form no
chain: the weights are a softmax over the experts, an expert's logit is looked
up by (total, distinct tokens) of its own context, plus one by the pattern of
what is hidden. They depend on contexts only, never on the token to predict,
so the mixture of normalised experts is normalised.
"""

import numpy as np
from scipy import optimize

TOTAL_BUCKETS = 12
TYPE_BUCKETS = 8
# Of the logits' Gaussian prior; it matters for empty buckets and small data.
PRIOR_PRECISION = 0.3
MAX_ITERATIONS = 150
NEVER = -1e30


class MixtureGate:
  """Softmax weights over experts; see the module."""

  def __init__(self, num_experts: int, num_patterns: int):
    self.num_experts = num_experts
    self.num_patterns = num_patterns
    self._num_evidence = num_experts * TOTAL_BUCKETS * TYPE_BUCKETS
    self._logits = np.zeros(self._num_evidence + num_patterns * num_experts)

  def fit(
      self,
      probs: np.ndarray,
      totals: np.ndarray,
      types: np.ndarray,
      patterns: np.ndarray,
  ) -> float:
    """Maximises the likelihood of held-out tokens (L-BFGS).

    Args:
      probs: [n, num_experts], what each expert gave to the true token.
      totals, types: [n, num_experts], occurrences and distinct tokens of its
        context; a total of 0 excludes the expert.
      patterns: [n] int in [0, num_patterns).

    Returns:
      The mean negative log likelihood reached, in nats (without the prior).

    Raises:
      ValueError: without places, or where no expert with a total above 0
        gives the token a probability above 0.
    """
    if not probs.shape[0]:
      raise ValueError("cannot choose mixture weights on no events")
    known = totals > 0
    if not np.any(known & (probs > 0), axis=1).all():
      raise ValueError("a token has probability 0 under every known expert")
    num_places = probs.shape[0]
    evidence = self._cells(totals, types)
    in_pattern = (np.arange(self.num_patterns)[:, None] == patterns) * 1.0
    precision = PRIOR_PRECISION / num_places

    def objective(logits: np.ndarray) -> tuple[float, np.ndarray]:
      prior = self._softmax(logits, evidence, patterns, known)
      joint = prior * probs
      total = joint.sum(axis=1, keepdims=True)
      slope = (prior - joint / total) / num_places
      by_evidence = np.bincount(
          evidence.ravel(), slope.ravel(), self._num_evidence
      )
      by_pattern = (in_pattern @ slope).ravel()
      gradient = np.concatenate([by_evidence, by_pattern])
      loss = -np.log(total).mean() + 0.5 * precision * (logits @ logits)
      return float(loss), gradient + precision * logits

    result = optimize.minimize(
        objective,
        np.zeros_like(self._logits),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITERATIONS},
    )
    self._logits = result.x
    penalty = 0.5 * precision * (result.x @ result.x)
    return float(result.fun - penalty)

  def weights(
      self, totals: np.ndarray, types: np.ndarray, patterns: np.ndarray
  ) -> np.ndarray:
    """[n, num_experts] float64; rows sum to 1, 0 where a total is 0."""
    evidence = self._cells(totals, types)
    return self._softmax(self._logits, evidence, patterns, totals > 0)

  def _cells(self, totals: np.ndarray, types: np.ndarray) -> np.ndarray:
    """Places in the logits of each expert's evidence, [n, num_experts]."""
    by_total = _bucket(totals, TOTAL_BUCKETS)
    by_type = _bucket(types, TYPE_BUCKETS)
    expert = np.arange(self.num_experts)
    return (expert * TOTAL_BUCKETS + by_total) * TYPE_BUCKETS + by_type

  def _softmax(
      self,
      logits: np.ndarray,
      evidence: np.ndarray,
      patterns: np.ndarray,
      known: np.ndarray,
  ) -> np.ndarray:
    by_pattern = logits[self._num_evidence :].reshape(-1, self.num_experts)
    weights = np.where(known, logits[evidence] + by_pattern[patterns], NEVER)
    weights -= weights.max(axis=1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def _bucket(counts: np.ndarray, size: int) -> np.ndarray:
  return np.minimum(np.log2(counts + 1), size - 1).astype(np.int64)
