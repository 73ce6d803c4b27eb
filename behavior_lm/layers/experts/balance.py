"""How a router is kept from sending all tokens to few experts.

  bias   DeepSeek-V3 (arXiv 2412.19437, section 2.1.2): experts are selected by
         affinity + b. After each step, b moves by `rate` up where an expert got
         less than the mean, down where it got more. No loss, no gradient.
  share  activations are counted over an epoch; in the next one, the affinity is
         divided by the expert's share of them. A share is at least 1 / (10 E),
         since that of an expert without tokens would be 0.
  none   experts are selected by their affinity.

The state of a rule is a variable that is no parameter: it takes no gradient,
is checkpointed, and sums over the whole batch, on all devices.
"""

from flax import nnx
import jax
import jax.numpy as jnp

BALANCES = ("bias", "share", "none")
# An expert with less than this share of the mean load is dead.
DEAD = 0.01


class RouterState(nnx.Variable):
  """What a balance rule remembers; no parameter."""


class Balance(nnx.Module):
  """The state of a balance rule.

  Args:
    rule: one of `BALANCES`.
    num_experts: of the layer.
    rate: of "bias", per step.
    period: of "share", steps of an epoch.

  Raises:
    ValueError: if the rule is unknown, or the period is none.
  """

  def __init__(self, rule: str, num_experts: int, rate: float, period: int):
    if rule not in BALANCES:
      raise ValueError(f"balance {rule!r}; known are {', '.join(BALANCES)}")
    if period < 1:
      raise ValueError(f"balance_period is {period}; give at least one step")
    self.rule, self.rate, self.period = rule, rate, period
    zeros = jnp.zeros(num_experts, jnp.float32)
    # Of the last step, for the log.
    self.load = RouterState(zeros)
    self.bias = RouterState(zeros) if rule == "bias" else None
    shared = rule == "share"
    self.share = RouterState(zeros + 1 / num_experts) if shared else None
    self.counts = RouterState(zeros) if shared else None
    self.steps = RouterState(jnp.zeros((), jnp.int32)) if shared else None

  def affinity(self, scores: jax.Array) -> jax.Array:
    """[..., num_experts] scores of the router -> what experts are chosen by."""
    if self.bias is not None:
      return scores + self.bias[...]
    if self.share is not None:
      floor = 1 / (10 * scores.shape[-1])
      return scores / jnp.maximum(self.share[...], floor)
    return scores

  def update(self, counts: jax.Array) -> None:
    """Takes [num_experts] activations of one step of training."""
    load = jax.lax.stop_gradient(counts.astype(jnp.float32))
    self.load[...] = load
    if self.bias is not None:
      step = self.rate * jnp.sign(load.mean() - load)
      self.bias[...] = self.bias[...] + step
    if self.share is not None:
      assert self.counts is not None and self.steps is not None
      total = self.counts[...] + load
      steps = self.steps[...] + 1
      ends = steps >= self.period
      share = total / jnp.maximum(total.sum(), 1.0)
      self.share[...] = jnp.where(ends, share, self.share[...])
      self.counts[...] = jnp.where(ends, 0.0, total)
      self.steps[...] = jnp.where(ends, 0, steps)


def balance_figures(load: jax.Array) -> dict[str, jax.Array]:
  """[num_experts] activations -> figures by name.

  `load_excess` is the largest load / the mean - 1; `load_entropy` is 1 when
  all are equal and 0 when one expert gets all; `dead_experts` is the share of
  experts with less than 1 % of the mean.
  """
  mean = jnp.maximum(load.mean(), 1e-9)
  share = load / jnp.maximum(load.sum(), 1e-9)
  entropy = -(share * jnp.log(jnp.maximum(share, 1e-30))).sum()
  return {
      "load_excess": load.max() / mean - 1,
      "load_entropy": entropy / jnp.log(jnp.maximum(len(load), 2)),
      "dead_experts": (load < DEAD * mean).mean(),
  }


def sequence_loss(
    scores: jax.Array, chosen: jax.Array, routed: jax.Array
) -> jax.Array:
  """The sequence-wise balance loss of DeepSeek-V3, equations 17 to 20.

  The sum over experts of f P: f is an expert's share of a sequence's
  activations times the number of experts, P its mean normalised score there.
  It is 1 when all are equal. The mean over sequences that have tokens.

  Args:
    scores: [batch, length, num_experts] of the router.
    chosen: [batch, length, k] experts.
    routed: [batch, length] bool.
  """
  num_experts, k = scores.shape[-1], chosen.shape[-1]
  weight = routed.astype(jnp.float32)[..., None]
  length = jnp.maximum(weight.sum(1), 1.0)
  # One expert at a time would be a one-hot [batch, length, k, num_experts].
  row = jnp.arange(len(chosen))[:, None, None]
  counts = jnp.zeros((len(chosen), num_experts), jnp.float32)
  counts = counts.at[row, chosen].add(
      jnp.broadcast_to(weight, chosen.shape)
  )
  f = counts * num_experts / (k * length)
  p = scores / (scores.sum(-1, keepdims=True) + 1e-20)
  losses = (f * (p * weight).sum(1) / length).sum(-1)
  present = routed.any(1)
  return (losses * present).sum() / jnp.maximum(present.sum(), 1)
