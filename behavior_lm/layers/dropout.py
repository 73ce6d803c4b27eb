"""Dropout that draws a byte for each number."""

from flax import nnx
import jax
import jax.numpy as jnp

# Values of a byte.
_VALUES = 256


class Dropout(nnx.Module):
  """Sets a share of the numbers to 0 and scales the others up.

  Drawing 32 bits a number, as usual, takes four times as long: 9 to 11 ms
  instead of 2.3 for 8 x 512 x 256 numbers, value and gradient, on two cores. So
  the rate is rounded to 1/256, 0.1 to 0.1016; the scale follows, and the mean
  stays what it was.
  """

  def __init__(self, rate: float):
    if not 0.0 <= rate < 1.0:
      raise ValueError(f"dropout rate {rate} must be at least 0 and below 1")
    self.rate = rate

  def __call__(
      self, x: jax.Array, *, deterministic: bool, rngs: nnx.Rngs | None
  ) -> jax.Array:
    """x [..., dim] -> the same shape.

    Args:
      x: any states.
      deterministic: x as it is.
      rngs: a `dropout` stream; needed when not deterministic, and rate > 0.
    """
    if deterministic or self.rate == 0.0:
      return x
    if rngs is None:
      raise ValueError("dropout needs rngs with a stream `dropout`")
    return drop(x, self.rate, rngs.dropout())


def drop(x: jax.Array, rate: float, key: jax.Array) -> jax.Array:
  """x where a byte of its own is not below rate * 256, scaled; else 0.

  Args:
    x: [..., dim].
    rate: in (0, 1).
    key: random key.
  """
  threshold = min(max(round(rate * _VALUES), 1), _VALUES - 1)
  # Words of the last axis alone: others may be divided among devices.
  width = x.shape[-1]
  words = jax.random.bits(key, (*x.shape[:-1], -(-width // 4)), jnp.uint32)
  drawn = jax.lax.bitcast_convert_type(words, jnp.uint8)
  drawn = drawn.reshape(*x.shape[:-1], -1)[..., :width]
  kept = x * (_VALUES / (_VALUES - threshold))
  return jnp.where(drawn >= threshold, kept, jnp.zeros_like(x))
