"""One vector a segment, or chosen positions, out of a packed row."""

import jax
import jax.numpy as jnp


def take_positions(hidden: jax.Array, indices: jax.Array) -> jax.Array:
  """[batch, length, dim] at [batch, n] row offsets -> [batch, n, dim]."""
  return jnp.take_along_axis(hidden, indices[..., None], axis=1)


def take_if(hidden: jax.Array, indices: jax.Array | None) -> jax.Array:
  """`take_positions`, or all of them where None are named."""
  return hidden if indices is None else take_positions(hidden, indices)


def segment_starts(segment_ids: jax.Array, max_segments: int) -> jax.Array:
  """Row offset of each segment's first token (its CLS).

  Args:
    segment_ids: [batch, length] int32, 0 marks padding.
    max_segments: segments are numbered 1 .. max_segments.

  Returns:
    [batch, max_segments] int32; 0 for segments that the row does not have.
  """
  numbers = jnp.arange(1, max_segments + 1)
  is_segment = segment_ids[:, None, :] == numbers[None, :, None]
  return jnp.argmax(is_segment, axis=-1)


def first_token(
    hidden: jax.Array, segment_ids: jax.Array, max_segments: int
) -> jax.Array:
  """Hidden state of each segment's CLS.

  Returns:
    [batch, max_segments, dim]; zero for segments that the row does not have.
  """
  pooled = take_positions(hidden, segment_starts(segment_ids, max_segments))
  numbers = jnp.arange(1, max_segments + 1)
  present = (segment_ids[:, None, :] == numbers[None, :, None]).any(-1)
  return jnp.where(present[..., None], pooled, 0)
