"""How a model reads the time gap of a token: a key of TIME_ENCODINGS.

Gaps are in units of 100 ms; a negative gap is hidden and adds nothing (CLS,
padding, masked events). What is added has the scale of token embeddings at
first: louder, it drowns the tokens in the norm that follows.
"""

from collections.abc import Callable
import functools

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
# sigmoid(-3.5) times the bank has a standard deviation of 0.02. With a bias of
# 0 the bank is 18 times louder than the tokens, and short runs cannot close the
# gate: after 300 steps on map_204 that took 3.79 bits per masked event, this
# 2.67.
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


def _bucket_table(embed_dim: int, scale: float, rngs: nnx.Rngs) -> nnx.Embed:
  init = nnx.initializers.normal(scale)
  return nnx.Embed(NUM_BUCKETS, embed_dim, embedding_init=init, rngs=rngs)


def _add_where_shown(
    embeddings: jax.Array, added: jax.Array, time_gaps: jax.Array
) -> jax.Array:
  """Nothing is added where the gap is hidden."""
  return embeddings + jnp.where(time_gaps[..., None] < 0, 0, added)


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
    self.embed = _bucket_table(embed_dim, 0.02, rngs)

  def __call__(self, embeddings: jax.Array, time_gaps: jax.Array) -> jax.Array:
    """[batch, length, embed_dim], [batch, length] in 100 ms -> same shape."""
    added = self.embed(gap_bucket(time_gaps))
    return _add_where_shown(embeddings, added, time_gaps)


class TimeGate(nnx.Module):
  """Adds a bank of the gap through the gate sigmoid(W e + b) of the token e.

  The gate lets a token decide how much its duration matters: a login does not
  care, a fight does. W is embed_dim x embed_dim. A hidden gap adds nothing,
  which the formula leaves open.

  Args:
    embed_dim: even, unless `table`.
    bias: what b is at first.
    scale: if given, a trained factor of the bank that has this value at first.
    table: the bank is a learned vector per bucket instead of the sinusoid.
    multiplied: what the gate lets through multiplies the token before it is
      added, so that it has the token's scale.
    rngs: for W and the table.
  """

  def __init__(
      self,
      embed_dim: int,
      *,
      bias: float = 0.0,
      scale: float | None = None,
      table: bool = False,
      multiplied: bool = False,
      rngs: nnx.Rngs,
  ):
    self.gate = nnx.Linear(
        embed_dim,
        embed_dim,
        kernel_init=nnx.initializers.lecun_normal(),
        bias_init=nnx.initializers.constant(bias),
        rngs=rngs,
    )
    self.scale = None if scale is None else nnx.Param(jnp.full((), scale))
    self.embed = _bucket_table(embed_dim, 0.04, rngs) if table else None
    self.multiplied = multiplied

  def __call__(self, embeddings: jax.Array, time_gaps: jax.Array) -> jax.Array:
    """[batch, length, embed_dim], [batch, length] in 100 ms -> same shape."""
    if self.embed is not None:
      bank = self.embed(gap_bucket(time_gaps))
    else:
      bank = sinusoid(time_gaps, embeddings.shape[-1])
    if self.scale is not None:
      bank = self.scale[...] * bank
    added = self.opening(embeddings) * bank
    if self.multiplied:
      added = added * embeddings
    return _add_where_shown(embeddings, added, time_gaps)

  def opening(self, embeddings: jax.Array) -> jax.Array:
    """[..., embed_dim] -> the same shape, from 0 (closed) to 1 (open)."""
    return jax.nn.sigmoid(self.gate(embeddings))


class Mercer(nnx.Module):
  """Adds Fourier series of the gap with learned coefficients.

  The Mercer embedding of Xu et al. (arXiv 1911.12864), equation 7: for periods
  2 w, cosines and sines of j pi gap / w, each with a coefficient. Here w are
  powers of two from 100 ms to 3.4 years, so that the phase is exact in whole
  numbers before a sine is taken.
  """

  def __init__(self, embed_dim: int, *, rngs: nnx.Rngs):
    del rngs  # nothing is drawn
    periods = min(31, -(-embed_dim // 2))
    degree = -(-embed_dim // (2 * periods))
    self.halvings = tuple(np.linspace(0, 30, periods).astype(int).tolist())
    self.degree = degree
    # Of a sine or cosine the root mean square is sqrt(1/2).
    self.coefficients = nnx.Param(jnp.full((embed_dim,), 0.02 * 2**0.5))

  def __call__(self, embeddings: jax.Array, time_gaps: jax.Array) -> jax.Array:
    """[batch, length, embed_dim], [batch, length] in 100 ms -> same shape."""
    half = np.left_shift(1, np.asarray(self.halvings))
    inside = time_gaps[..., None] & jnp.asarray(2 * half - 1, jnp.int32)
    phase = inside.astype(jnp.float32) * jnp.asarray(np.pi / half, jnp.float32)
    angles = phase[..., None, :] * jnp.arange(1.0, self.degree + 1)[:, None]
    angles = angles.reshape(*time_gaps.shape, -1)
    bank = jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], -1)
    added = self.coefficients[...] * bank[..., : embeddings.shape[-1]]
    return _add_where_shown(embeddings, added, time_gaps)


class Time2Vec(nnx.Module):
  """Adds a line and sines of t = log2(1 + gap), frequencies learned.

  Kazemi et al. (arXiv 1907.05321), equation 1, whose first number is
  w t + p and whose others are sin(w t + p). Of the gap itself, which spans nine
  powers of ten, the line would be the only number that counts.
  """

  def __init__(self, embed_dim: int, *, rngs: nnx.Rngs):
    draw = nnx.initializers.normal(1.0)
    frequencies = draw(rngs.params(), (embed_dim,))
    self.frequencies = nnx.Param(frequencies.at[0].set(1 / 31))
    self.phases = nnx.Param(draw(rngs.params(), (embed_dim,)).at[0].set(0.0))
    self.scale = nnx.Param(jnp.full((embed_dim,), 0.02 * 2**0.5))

  def __call__(self, embeddings: jax.Array, time_gaps: jax.Array) -> jax.Array:
    """[batch, length, embed_dim], [batch, length] in 100 ms -> same shape."""
    shown = jnp.maximum(time_gaps, 0).astype(jnp.float32)
    angles = jnp.log2(1 + shown)[..., None] * self.frequencies[...]
    angles = angles + self.phases[...]
    bank = jnp.sin(angles).at[..., 0].set(angles[..., 0])
    added = self.scale[...] * bank
    return _add_where_shown(embeddings, added, time_gaps)


TIME_ENCODINGS: dict[str, Callable[..., nnx.Module]] = {
    "none": NoTime,
    "bucket": TimeBucket,
    "gate": functools.partial(TimeGate, bias=_GATE_BIAS),
    "gate_scaled": functools.partial(TimeGate, scale=0.04 * 2**0.5),
    "gate_multiplied": functools.partial(TimeGate, multiplied=True),
    "gate_bucket": functools.partial(TimeGate, table=True),
    "mercer": Mercer,
    "time2vec": Time2Vec,
}


def shuffled(time_gaps: jax.Array) -> jax.Array:
  """Each shown gap is that of another place of the row; hidden ones stay."""
  order = np.random.default_rng(0).permutation(time_gaps.shape[-1])
  others = jnp.maximum(time_gaps[..., order], 0)
  return jnp.where(time_gaps < 0, time_gaps, others)


# What a time encoding reads instead of the gaps, to tell a gain by time from
# one by more parameters.
TIME_CONTROLS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "none": lambda time_gaps: time_gaps,
    "shuffled": shuffled,
    "constant": lambda time_gaps: jnp.minimum(time_gaps, 0),
}
