"""Attention that knows how much time lies between two tokens.

Both ways read a clock, the sum of the gaps so far, and turn it into phases of
fixed periods. A product of two phases depends on the time between the tokens
alone, so that every kernel of attention serves, without a table of pairs.
"""

from collections.abc import Sequence

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np

# How attention may read time, as parts of `EncoderConfig.time_encoding`:
# queries and keys turn by it, or a bias is added to the scores of each head.
ROTARY = "rotary"
BIAS = "attention_bias"
RELATIVE_TIMES = (ROTARY, BIAS)
# The periods of the bias in units of 100 ms, from 0.4 s to 3.4 years.
_BIAS_PERIODS = 8
_SHORTEST, _LONGEST = 2, 30  # exponents of two


def make_clock(time_gaps: jax.Array) -> jax.Array:
  """Units of 100 ms since the start of the row.

  A hidden gap counts as none. The sum may wrap around in a long row: periods
  are powers of two, whose phases the wrapped sum has too.

  Args:
    time_gaps: [batch, length] int32; negative where they are hidden.

  Returns:
    [batch, length] int32; only differences within a segment mean anything.
  """
  return jnp.cumsum(jnp.maximum(time_gaps, 0), -1, dtype=jnp.int32)


def phases(clock: jax.Array, number: int) -> jax.Array:
  """Angles of the clock on so many periods, shortest first.

  The periods are powers of two, so that the remainder is exact in whole
  numbers: a float32 holds no product of a year in units with a frequency.

  Args:
    clock: int32, any shape.
    number: of periods, from 2**2 to 2**30 units.

  Returns:
    [..., number] float32 from 0 to 2 pi.
  """
  exponents = np.linspace(_SHORTEST, _LONGEST, number).round().astype(int)
  periods = np.left_shift(1, exponents)
  inside = clock[..., None] & jnp.asarray(periods - 1, jnp.int32)
  turn = jnp.asarray(2 * np.pi / periods, jnp.float32)
  return inside.astype(jnp.float32) * turn


class TimeBias(nnx.Module):
  """Adds b_h(time from key to query) to the scores of head h.

  b_h is a series of cosines and sines with learned coefficients, 0 at first.
  As cos(p - q) = cos p cos q + sin p sin q, the sum is a product of a few more
  numbers of query and key: any kernel computes it, in linear memory. T5
  (arXiv 1910.10683) and HSTU (arXiv 2402.17152) add a table by bucket instead,
  which needs all pairs.

  Args:
    num_heads, head_dim: of the attention.
  """

  def __init__(self, num_heads: int, head_dim: int):
    zeros = lambda: nnx.Param(jnp.zeros((num_heads, _BIAS_PERIODS)))
    self.even, self.odd = zeros(), zeros()
    self.head_dim = head_dim

  def __call__(
      self,
      arrays: Sequence[jax.Array],
      query_clock: jax.Array,
      clock: jax.Array,
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Query, key and value with more numbers per head.

    Args:
      arrays: query [batch, n, num_heads, head_dim], key and value [batch,
        length, num_heads, head_dim].
      query_clock: [batch, n], see `make_clock`.
      clock: [batch, length].

    Returns:
      The three, [..., head_dim + 2 * periods]. Kernels divide scores by the
      root of the width they see, so the query is scaled up for that; the
      value's new numbers are zeros, as are those of the output.
    """
    query, key, value = arrays
    more = 2 * _BIAS_PERIODS
    width = self.head_dim + more
    at = phases(query_clock, _BIAS_PERIODS)[:, :, None]
    cos, sin = jnp.cos(at), jnp.sin(at)
    even, odd = self.even[...], self.odd[...]
    own = [even * cos + odd * sin, even * sin - odd * cos]
    scaled = query * (width / self.head_dim) ** 0.5
    query = _join(scaled, *(x * width**0.5 for x in own))
    at = phases(clock, _BIAS_PERIODS)[:, :, None]
    shape = (*key.shape[:3], _BIAS_PERIODS)
    key = _join(
        key, *(jnp.broadcast_to(x, shape) for x in (jnp.cos(at), jnp.sin(at)))
    )
    return query, key, pad_heads(value, width)


def pad_heads(x: jax.Array, width: int) -> jax.Array:
  """[..., head_dim] -> [..., width], with zeros behind."""
  return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, width - x.shape[-1])])


def _join(first: jax.Array, *others: jax.Array) -> jax.Array:
  return jnp.concatenate([first, *(x.astype(first.dtype) for x in others)], -1)


def split_name(time_encoding: str) -> tuple[str, str]:
  """("bucket", "rotary") of "bucket+rotary": what is added, what attends.

  Each is "none" where the name has no such part.

  Raises:
    ValueError: if there are two parts of one kind.
  """
  parts = time_encoding.split("+")
  attends = [part for part in parts if part in RELATIVE_TIMES]
  added = [part for part in parts if part not in RELATIVE_TIMES]
  if len(attends) > 1 or len(added) > 1:
    raise ValueError(
        f"time encoding {time_encoding!r}: give one that is added to the token"
        f" (bucket, say), one of {RELATIVE_TIMES}, or one of each with a '+'"
    )
  return (added or ["none"])[0], (attends or ["none"])[0]
