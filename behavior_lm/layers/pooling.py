"""One vector a segment out of a packed row."""

import jax
import jax.numpy as jnp

from behavior_lm.common.rows import take_rows


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
  pooled = take_rows(hidden, segment_starts(segment_ids, max_segments))
  numbers = jnp.arange(1, max_segments + 1)
  present = (segment_ids[:, None, :] == numbers[None, :, None]).any(-1)
  return jnp.where(present[..., None], pooled, 0)
