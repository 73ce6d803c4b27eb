"""Splash attention, the TPU kernel that ships with jax, as one of ours."""

from typing import Any

import jax
import jax.numpy as jnp

from behavior_lm.attention.device import Target
from behavior_lm.attention.spec import AttentionSpec

# The kernel cuts rows into blocks of whole vector registers.
LANES = 128
# Longer blocks mean fewer, larger products; none was measured on a TPU here.
MAX_BLOCK = 512
DTYPES = ("float32", "bfloat16")


def spec_limit(spec: AttentionSpec) -> str:
  """What of a layer the kernel cannot do, in words; empty if nothing."""
  if spec.max_globals:
    return f"it has no global tokens (max_globals={spec.max_globals})"
  if spec.dilation != 1:
    return f"its windows have no holes (dilation={spec.dilation})"
  return ""


def call_limit(
    query: jax.Array | jax.ShapeDtypeStruct, target: Target
) -> str:
  """Why it does not serve a query on a device; empty if it does."""
  if query.dtype.name not in DTYPES:
    return f"it takes {' or '.join(DTYPES)}, not {query.dtype.name}"
  if target.num_devices != 1:
    return (
        f"jax cannot divide it among {target.num_devices} devices: start with"
        " one"
    )
  return ""


def splash_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    causal: bool = False,
    window_size: int | None = None,
    interpret: bool = False,
) -> jax.Array:
  """Dense or sliding-window attention that skips what its mask leaves out.

  The kernel of jax.experimental.pallas.ops.tpu.splash_attention, after
  FlashAttention (arXiv 2205.14135): no score reaches memory, and blocks outside
  the mask cost nothing. Equal to dense attention under `masks.window_mask`, or
  under `dense.segment_mask`: positions rise with the offset within a segment,
  so causal by offset is causal by position. On a TPU products of float32 are
  of the precision that jax_default_matmul_precision says, by default less
  than float32's.

  Args:
    query, key, value: [batch, length, num_heads, head_dim], any length: rows
      are filled with padding up to a multiple of `LANES`.
    segment_ids: [batch, length] int32 from 0, 0 marks padding.
    causal: no token sees a later offset of the row.
    window_size: keys on EACH side, none after the query if causal; None is all.
    interpret: without a TPU, step by step: for tests.

  Returns:
    [batch, length, num_heads, head_dim] in the type of `query`; rows of padding
    are zero.

  Raises:
    ValueError: if shapes disagree, or for a type that the kernel was never
      tried with.
  """
  if not (query.shape == key.shape == value.shape):
    raise ValueError(
        f"shapes disagree: query {query.shape}, key {key.shape}, value"
        f" {value.shape}"
    )
  if query.dtype.name not in DTYPES:
    raise ValueError(f"type {query.dtype.name} is not one of {DTYPES}")
  # Slow to import, and needed on TPU only.
  from jax.experimental.pallas.ops.tpu import splash_attention as splash

  length, num_heads, head_dim = query.shape[1:]
  filling = -length % LANES
  heads_first = lambda x: jnp.pad(
      x.swapaxes(1, 2), ((0, 0), (0, 0), (0, filling), (0, 0))
  )
  kernel = splash.make_splash_mha_single_device(
      mask=splash.MultiHeadMask(
          [splash_mask(length + filling, causal, window_size)] * num_heads
      ),
      block_sizes=_block_sizes(length + filling, window_size),
      interpret=interpret,
  )
  # Padding is a segment of its own here: a row of nothing would be 0 / 0.
  ids = jnp.pad(segment_ids, ((0, 0), (0, filling)))
  out = jax.vmap(
      lambda query, key, value, ids: kernel(
          query, key, value, segment_ids=splash.SegmentIds(ids, ids)
      )
  )(
      heads_first(query * head_dim**-0.5),
      heads_first(key),
      heads_first(value),
      ids,
  )
  out = out[:, :, :length].swapaxes(1, 2)
  return jnp.where((segment_ids != 0)[:, :, None, None], out, 0)


def splash_mask(length: int, causal: bool, window_size: int | None) -> Any:
  """The kernel's description of who may see whom within a segment."""
  from jax.experimental.pallas.ops.tpu import splash_attention as splash

  shape = (length, length)
  if window_size is not None:
    after = 0 if causal else window_size
    return splash.LocalMask(shape, (window_size, after), offset=0)
  return splash.CausalMask(shape) if causal else splash.FullMask(shape)


def _block_sizes(length: int, window_size: int | None) -> Any:
  """The largest blocks that divide the row, not much longer than a window."""
  from jax.experimental.pallas.ops.tpu import splash_attention as splash

  most = min(MAX_BLOCK, max(LANES, window_size or MAX_BLOCK))
  sizes = range(LANES, most + 1, LANES)
  block = max(size for size in sizes if length % size == 0)
  return splash.BlockSizes(
      block_q=block,
      block_kv=block,
      block_q_dkv=block,
      block_kv_dkv=block,
      block_q_dq=block,
      block_kv_dq=block,
  )
