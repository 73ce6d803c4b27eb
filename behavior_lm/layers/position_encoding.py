"""Where a token stands in its segment: learned, sinusoid or rotary.

`learned` is BERT's table. `sinusoid` is the same table, but born as the bank
of sines and cosines, in which "one to the left" is one linear map everywhere:
a small model on a small budget finds its neighbours much sooner. `rotary`
(RoFormer, arXiv 2104.09864) turns queries and keys by their positions instead.
Pairs of their numbers may turn by time too, see `layers.relative_time`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from behavior_lm.layers.relative_time import phases
from behavior_lm.layers.time_encoding import sinusoid

POSITION_ENCODINGS = ("learned", "sinusoid", "rotary")
# Wavelengths go from 2 pi positions to nearly 2 pi times this.
ROTARY_BASE = 10_000.0


def sinusoid_table(
    key: jax.Array, shape: tuple[int, int], dtype: Any = jnp.float32, **_: Any
) -> jax.Array:
  """Initialiser: the sinusoid bank at the scale of a token embedding."""
  del key  # nothing is drawn
  length, dim = shape
  bank = sinusoid(jnp.arange(length), dim)
  return (0.02 * 2**0.5 * bank).astype(dtype)


def rotate(
    x: jax.Array,
    positions: jax.Array | None,
    clock: jax.Array | None = None,
) -> jax.Array:
  """Rotary position encoding, equation 34 of RoFormer.

  There number 2 i turns with number 2 i + 1; here, as in ModernBERT and most
  code, i turns with i + head_dim / 2: the same up to their order, which the
  projections learn.

  Args:
    x: [batch, length, num_heads, head_dim] queries or keys, head_dim even.
    positions: [batch, length] int32; None turns no pair by position.
    clock: [batch, length] int32, see `relative_time.make_clock`. If given,
      every second pair turns by the time instead of the position.

  Returns:
    the same shape; dot products of two rotated vectors depend on the
    differences of their positions and clocks alone.
  """
  half = x.shape[-1] // 2
  frequencies = ROTARY_BASE ** (-jnp.arange(half, dtype=jnp.float32) / half)
  angles = jnp.zeros((*x.shape[:2], half), jnp.float32)
  if positions is not None:
    angles = positions.astype(jnp.float32)[..., None] * frequencies
  if clock is not None:
    angles = angles.at[..., 1::2].set(phases(clock, half // 2))
  cos, sin = jnp.cos(angles)[:, :, None], jnp.sin(angles)[:, :, None]
  first, second = jnp.split(x.astype(jnp.float32), 2, -1)
  out = [first * cos - second * sin, second * cos + first * sin]
  return jnp.concatenate(out, -1).astype(x.dtype)
