"""How a model reads the time gap of a token: none, bucket or gate.

Gaps are in units of 100 ms; a negative gap is hidden and adds nothing (CLS,
padding, masked events).
"""

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

# Two buckets to each doubling, from 100 ms to 2**31 units (6.8 years), after
# the hidden one and the one of no gap.
NUM_BUCKETS = 64
_PER_DOUBLING = 2
# The smallest gap of each bucket from 2 on. Whole numbers: a logarithm in
# float32 puts 2**13 and others one bucket too low.
_EDGES = np.ceil(2.0 ** (np.arange(NUM_BUCKETS - 2) / _PER_DOUBLING))
_EDGES = _EDGES.astype(np.int32)
# sigmoid(-3.5) times the bank has a standard deviation of 0.02, that of token
# embeddings. With a bias of 0 the bank is 18 times louder than the tokens, and
# short runs cannot close the gate: after 300 steps on map_204 that took 3.79
# bits per masked event, this 2.67.
_GATE_BIAS = -3.5


def sinusoid(values: jax.Array, dim: int) -> jax.Array:
  """The sine and cosine bank of Vaswani et al. (1706.03762), section 3.5.

  Args:
    values: any shape, in units; 10000**(2k/dim) units are the wavelengths over
      2 pi.
    dim: even.

  Returns:
    [..., dim] float32: first the sines, then the cosines.
  """
  if dim % 2:
    raise ValueError(f"a sinusoid bank needs an even width, got {dim}")
  frequencies = 10_000.0 ** (-jnp.arange(0, dim, 2, jnp.float32) / dim)
  angles = values.astype(jnp.float32)[..., None] * frequencies
  return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)


def gap_bucket(time_gaps: jax.Array) -> jax.Array:
  """Log-spaced bucket of a gap: 0 = hidden, 1 = no gap, then two a doubling."""
  bucket = 1 + jnp.searchsorted(_EDGES, time_gaps, side="right")
  return jnp.where(time_gaps < 0, 0, bucket).astype(jnp.int32)


class NoTime(nnx.Module):
  """Ignores time."""

  def __init__(self, embed_dim: int, *, rngs: nnx.Rngs):
    del embed_dim, rngs

  def __call__(self, embeddings: jax.Array, time_gaps: jax.Array) -> jax.Array:
    """[batch, length, embed_dim] -> the same."""
    del time_gaps
    return embeddings


class TimeBucket(nnx.Module):
  """Adds a learned embedding of the log-spaced gap, as positions are added."""

  def __init__(self, embed_dim: int, *, rngs: nnx.Rngs):
    self.embed = nnx.Embed(
        NUM_BUCKETS,
        embed_dim,
        embedding_init=nnx.initializers.normal(0.02),
        rngs=rngs,
    )

  def __call__(self, embeddings: jax.Array, time_gaps: jax.Array) -> jax.Array:
    """[batch, length, embed_dim], [batch, length] in 100 ms -> same shape."""
    added = self.embed(gap_bucket(time_gaps))
    return embeddings + jnp.where(time_gaps[..., None] < 0, 0, added)


class TimeGate(nnx.Module):
  """Adds sigmoid(W e + b) * sinusoid(gap) to each token embedding e.

  The gate lets a token decide how much its duration matters: a login does not
  care, a fight does. W is embed_dim x embed_dim, gaps are in their units of
  100 ms. A hidden gap adds nothing, which the formula leaves open. What is
  added has the scale of token embeddings at first.
  """

  def __init__(self, embed_dim: int, *, rngs: nnx.Rngs):
    self.gate = nnx.Linear(
        embed_dim,
        embed_dim,
        kernel_init=nnx.initializers.lecun_normal(),
        bias_init=nnx.initializers.constant(_GATE_BIAS),
        rngs=rngs,
    )

  def __call__(self, embeddings: jax.Array, time_gaps: jax.Array) -> jax.Array:
    """[batch, length, embed_dim], [batch, length] in 100 ms -> same shape."""
    bank = sinusoid(time_gaps, embeddings.shape[-1])
    added = jax.nn.sigmoid(self.gate(embeddings)) * bank
    return embeddings + jnp.where(time_gaps[..., None] < 0, 0, added)


TIME_ENCODINGS = {"none": NoTime, "bucket": TimeBucket, "gate": TimeGate}
