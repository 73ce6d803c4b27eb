"""Sliding-window attention with global tokens (Longformer), O(L * window)."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from behavior_lm.attention.band import Band
from behavior_lm.attention.band import make_band
from behavior_lm.attention.parts import attend_part
from behavior_lm.attention.parts import join_parts
from behavior_lm.attention.parts import mask_bias

# A segment id that no query has: nobody sees a key that bears it.
UNSEEN = -1


class GlobalProjections(NamedTuple):
  """What global tokens attend with when they have weights of their own.

  Attributes:
    query: [batch, max_globals, num_heads, head_dim], of the tokens at
      `global_offsets`.
    key, value: [batch, length, num_heads, head_dim].
  """

  query: jax.Array
  key: jax.Array
  value: jax.Array


def sliding_window_attention(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    window_size: int,
    dilation: int = 1,
    causal: bool = False,
    global_tokens: jax.Array | None = None,
    max_globals: int = 0,
    global_projections: GlobalProjections | None = None,
) -> jax.Array:
  """Attends to keys at most `window_size` steps away, in O(L * window).

  Longformer (arXiv 2004.05150), section 3.1, dilated or not. Every token also
  sees the global tokens, and those see everything, with projections of their
  own where given. Unlike the paper, rows are packed: a query sees only keys of
  its own segment, near or global. Equal to dense attention under
  `masks.window_mask | masks.global_mask`.

  Args:
    query, key, value: [batch, length, num_heads, head_dim], any length.
    segment_ids: [batch, length] int32 from 0, 0 marks padding.
    window_size: keys on EACH side, at least 1.
    dilation: positions from one key of the window to the next, at least 1.
    causal: no token, global or not, sees a later offset of the row.
    global_tokens: [batch, length] bool; None makes it each segment's first
      token, if `max_globals` allows any. Padding is never global.
    max_globals: global tokens in a row at most: of more, the first ones count.
    global_projections: None lets global tokens use query, key and value.

  Returns:
    [batch, length, num_heads, head_dim] in the type of `value`; rows of padding
    are zero.

  Raises:
    ValueError: if shapes disagree or a number is too small.
  """
  _check(query, key, value, segment_ids, window_size, dilation)
  if not max_globals and (global_tokens is not None or global_projections):
    raise ValueError(
        "max_globals is 0, yet there are global tokens or projections: set it"
        " to the most global tokens that a row may hold"
    )
  band = make_band(
      query.shape[1],
      window_size=window_size,
      dilation=dilation,
      causal=causal,
  )
  query = query * query.shape[-1] ** -0.5
  near = functools.partial(
      _window_part,
      *map(_heads_first, (query, key, value)),
      segment_ids=segment_ids,
      band=band,
  )
  real = segment_ids != 0
  if not max_globals:
    out, _ = near(seen=real)
    return jnp.where(real[:, :, None, None], _heads_first(out), 0)
  if global_tokens is None:
    global_tokens = first_tokens(segment_ids)
  global_tokens = bound_globals(global_tokens, segment_ids, max_globals)
  offsets = global_offsets(global_tokens, max_globals)
  few = functools.partial(take_rows, offsets=offsets)
  parts = (
      # Each key is seen once: through the window or as a global token.
      near(seen=real & ~global_tokens),
      # All queries of a row meet the same few keys.
      _one_block(
          (query, few(key), few(value)),
          _global_keys_mask(segment_ids, offsets, causal),
      ),
  )
  out = _heads_first(join_parts(*zip(*parts, strict=True)))
  out = jnp.where(real[:, :, None, None], out, 0)
  if global_projections is None:
    global_projections = GlobalProjections(few(query), key, value)
  else:
    global_projections = global_projections._replace(
        query=global_projections.query * query.shape[-1] ** -0.5
    )
  from_globals, _ = _one_block(
      global_projections,
      _global_queries_mask(segment_ids, offsets, causal),
  )
  rows = jnp.arange(len(out))[:, None]
  from_globals = _heads_first(from_globals).astype(out.dtype)
  return out.at[rows, offsets].set(from_globals, mode="drop")


def first_tokens(segment_ids: jax.Array) -> jax.Array:
  """Where each segment starts, [batch, length] bool."""
  before = jnp.pad(segment_ids[:, :-1], ((0, 0), (1, 0)))
  return (segment_ids != 0) & (segment_ids != before)


def bound_globals(
    global_tokens: jax.Array, segment_ids: jax.Array, max_globals: int
) -> jax.Array:
  """The first `max_globals` of a row's global tokens, none of them padding."""
  real = global_tokens & (segment_ids != 0)
  return real & (jnp.cumsum(real, axis=1) <= max_globals)


def global_offsets(global_tokens: jax.Array, max_globals: int) -> jax.Array:
  """Where the global tokens stand, [batch, max_globals] int32.

  Args:
    global_tokens: [batch, length] bool, at most `max_globals` in a row.
    max_globals: slots a row; unused ones hold `length`, outside the row.
  """
  batch, length = global_tokens.shape
  slots = jnp.cumsum(global_tokens, axis=1) - 1
  slots = jnp.where(global_tokens, slots, max_globals)
  offsets = jnp.full((batch, max_globals), length, jnp.int32)
  rows = jnp.arange(batch)[:, None]
  return offsets.at[rows, slots].set(jnp.arange(length), mode="drop")


def take_rows(x: jax.Array, offsets: jax.Array, fill: int = 0) -> jax.Array:
  """x [batch, length, ...] at offsets [batch, n]; `fill` outside the row."""
  rows = jnp.arange(len(x))[:, None]
  return jnp.asarray(x).at[rows, offsets].get(mode="fill", fill_value=fill)


def _heads_first(x: jax.Array) -> jax.Array:
  """[batch, length, heads, head_dim] <-> [batch, heads, length, head_dim]."""
  return x.swapaxes(1, 2)


def _window_part(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    seen: jax.Array,
    band: Band,
) -> tuple[jax.Array, jax.Array]:
  """Heads first: what queries make of the `seen` keys in their window."""
  key, value = (band.stretches(band.blocks(x)) for x in (key, value))
  ids = band.blocks(segment_ids[:, None, :, None])
  seen_ids = jnp.where(seen, segment_ids, UNSEEN)[:, None, :, None]
  seen_ids = band.stretches(band.blocks(seen_ids, UNSEEN), UNSEEN)
  mask = (ids == seen_ids.swapaxes(-1, -2)) & band.near()
  out, log_total = attend_part(
      band.blocks(query), key, value, mask_bias(mask)
  )
  return band.rows(out), band.rows(log_total)


def _one_block(
    qkv: tuple[jax.Array, jax.Array, jax.Array], mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """All queries of a row against all of these keys; returns heads first."""
  query, key, value = (_heads_first(x)[:, :, None] for x in qkv)
  bias = mask_bias(mask)[:, :, None]
  out, log_total = attend_part(query, key, value, bias)
  return out[:, :, 0], log_total[:, :, 0]


def _global_keys_mask(
    segment_ids: jax.Array, offsets: jax.Array, causal: bool
) -> jax.Array:
  """Which global tokens a token sees, [batch, 1, length, max_globals]."""
  ids = take_rows(segment_ids, offsets, UNSEEN)
  mask = segment_ids[:, :, None] == ids[:, None, :]
  if causal:
    mask &= offsets[:, None, :] <= jnp.arange(segment_ids.shape[1])[:, None]
  return mask[:, None]


def _global_queries_mask(
    segment_ids: jax.Array, offsets: jax.Array, causal: bool
) -> jax.Array:
  """Which tokens a global token sees, [batch, 1, max_globals, length]."""
  ids = take_rows(segment_ids, offsets, UNSEEN)
  mask = ids[:, :, None] == segment_ids[:, None, :]
  if causal:
    mask &= offsets[:, :, None] >= jnp.arange(segment_ids.shape[1])
  return mask[:, None]


def _check(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    segment_ids: jax.Array,
    window_size: int,
    dilation: int,
) -> None:
  if not (
      query.ndim == 4
      and query.shape == key.shape == value.shape
      and query.shape[:2] == segment_ids.shape
  ):
    raise ValueError(
        f"shapes disagree: query {query.shape}, key {key.shape}, value"
        f" {value.shape}, segment_ids {segment_ids.shape}"
    )
  if window_size < 1 or dilation < 1:
    raise ValueError(
        f"window_size {window_size}, dilation {dilation}: both must be at least"
        " 1"
    )
