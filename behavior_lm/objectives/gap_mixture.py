"""A distribution of time gaps: a mixture over whole numbers of 100 ms.

IFTPP (arXiv 1909.12127) takes a density, a mixture of log-normals. A density of
gaps that are mostly 0 (ties) can grow without limit, and its nats compare with
nothing. Here a gap has a probability: each component is a logistic
distribution of log(gap), and a gap has the mass between gap + 1/2 and
gap + 3/2, the first one from 0 on (as PixelCNN++, arXiv 1701.05517, does with
colours).
"""

import jax
import jax.numpy as jnp

# A component that is narrower tells times finer than 100 ms.
_NARROWEST = -5.0


def gap_nll(mixture: jax.Array, gaps: jax.Array) -> jax.Array:
  """Negative log likelihood of gaps, in nats.

  Args:
    mixture: [..., 3, num_components] float32: logits of the weights, centres
      and log scales of log(gap + 1).
    gaps: [...] int32, at least 0.

  Returns:
    [...] float32.
  """
  logits, centres, log_scales = jnp.moveaxis(mixture, -2, 0)
  scales = jnp.exp(-jnp.maximum(log_scales, _NARROWEST))
  gap = gaps[..., None].astype(jnp.float32)
  upper = (jnp.log(gap + 1.5) - centres) * scales
  lower = (jnp.log(gap + 0.5) - centres) * scales
  # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)), which
  # loses no digits however near the two are.
  width = jnp.log1p(1.0 / (gap + 0.5))
  inside = (
      jax.nn.log_sigmoid(upper)
      + jax.nn.log_sigmoid(-lower)
      + jnp.log(-jnp.expm1(-width * scales))
  )
  mass = jnp.where(gap == 0, jax.nn.log_sigmoid(upper), inside)
  weights = jax.nn.log_softmax(logits, axis=-1)
  return -jax.nn.logsumexp(weights + mass, axis=-1)


def mean_log_gap(mixture: jax.Array) -> jax.Array:
  """The mean of log(gap + 1) under each mixture: [..., 3, n] -> [...]."""
  logits, centres, _ = jnp.moveaxis(mixture, -2, 0)
  return (jax.nn.softmax(logits, axis=-1) * centres).sum(-1)


def sample_gaps(mixture: jax.Array, key: jax.Array) -> jax.Array:
  """Draws a gap from each mixture, with the probabilities of `gap_nll`.

  Args:
    mixture: [..., 3, num_components], see `gap_nll`.
    key: of the draws.

  Returns:
    [...] int32 in 100 ms, at most 2**30.
  """
  of_component, of_gap = jax.random.split(key)
  logits, centres, log_scales = jnp.moveaxis(mixture, -2, 0)
  chosen = jax.random.categorical(of_component, logits)[..., None]
  pick = lambda x: jnp.take_along_axis(x, chosen, -1)[..., 0]
  noise = jax.random.logistic(of_gap, chosen.shape[:-1])
  scale = jnp.exp(jnp.maximum(pick(log_scales), _NARROWEST))
  log_gap = jnp.minimum(pick(centres) + scale * noise, 30 * jnp.log(2.0))
  # A gap has the mass from gap + 1/2 to gap + 3/2.
  gaps = jnp.floor(jnp.exp(log_gap) + 0.5) - 1
  return jnp.maximum(gaps, 0).astype(jnp.int32)
