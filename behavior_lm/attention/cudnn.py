"""cuDNN's flash attention, which ships with jax, as one of ours.

UNPROVEN: no GPU has run it here. What we add, the mask and the padding, is
tested on CPU with the same call's other implementation.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from behavior_lm.attention.device import Target

# What jax's call refuses otherwise, with words of its own.
DTYPES = ("bfloat16", "float16")
MAX_HEAD_DIM = 128
HEAD_DIM_STEP = 8
# NVIDIA's Ampere and later.
LEAST_CAPABILITY = 8.0
# Of the mask, which is quadratic in the length; as many as "xla" spends on the
# scores of all heads.
MOST_MASK_BYTES = 2**30


def call_limit(
    query: jax.Array | jax.ShapeDtypeStruct, target: Target
) -> str:
  """Why it does not serve a query on a device; empty if it does."""
  if query.dtype.name not in DTYPES:
    return (
        f"it takes {' or '.join(DTYPES)}, not {query.dtype.name}: set"
        " dtype='bfloat16'"
    )
  head_dim = query.shape[-1]
  if head_dim % HEAD_DIM_STEP or head_dim > MAX_HEAD_DIM:
    return (
        f"head_dim {head_dim} is not a multiple of {HEAD_DIM_STEP} up to"
        f" {MAX_HEAD_DIM}: change embed_dim or num_heads"
    )
  if target.capability < LEAST_CAPABILITY:
    return (
        f"it needs compute capability {LEAST_CAPABILITY}, and this GPU"
        f" has {target.capability}"
    )
  mask_bytes = 2 * query.shape[0] * query.shape[1] ** 2
  if mask_bytes > MOST_MASK_BYTES:
    return (
        f"its mask of {query.shape[0]} rows of {query.shape[1]} would take"
        f" {mask_bytes / 2**30:.1f} GB, more than {MOST_MASK_BYTES >> 30}: make"
        " data.batch_size or data.max_length smaller"
    )
  return ""


def cudnn_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    causal: bool = False,
    implementation: Literal["cudnn", "xla"] = "cudnn",
) -> jax.Array:
  """Dense attention whose scores never reach memory. Unproven, see above.

  Segments cross as a mask of [batch, 1, length, length] in two bytes, at most
  `MOST_MASK_BYTES`; of longer rows "xla" makes the scores by tiles. cuDNN's
  windows look back only, and would need this mask as well: sliding windows
  stay with the band.

  Args:
    query, key, value: [batch, length, num_heads, head_dim] of one of `DTYPES`,
      any length; head_dim a multiple of `HEAD_DIM_STEP`, at most
      `MAX_HEAD_DIM`.
    segment_ids: [batch, length] int32 from 0, 0 marks padding.
    causal: no token sees a later offset of the row.
    implementation: of jax.nn.dot_product_attention; "xla" for tests.

  Returns:
    [batch, length, num_heads, head_dim] in the type of `query`; rows of padding
    are zero.

  Raises:
    ValueError: if shapes disagree.
    RuntimeError, NotImplementedError: by jax, without cuDNN or on a GPU that
      is too old.
  """
  length = query.shape[1]
  # The gradient under a mask wants an even length.
  filling = ((0, 0), (0, length % 2))
  fill = lambda x: jnp.pad(x, (*filling, (0, 0), (0, 0)))
  # Padding is a segment of its own here: a row of nothing would be 0 / 0.
  ids = jnp.pad(segment_ids, filling)
  out = jax.nn.dot_product_attention(
      fill(query),
      fill(key),
      fill(value),
      mask=(ids[:, :, None] == ids[:, None, :])[:, None],
      is_causal=causal,
      implementation=implementation,
  )[:, :length]
  return jnp.where((segment_ids != 0)[:, :, None, None], out, 0)
