"""Sliding-window attention with global tokens (Longformer).

O(length * (window + global tokens)).
"""

import jax
import jax.numpy as jnp

from behavior_lm.attention.band import Band
from behavior_lm.attention.band import make_band
from behavior_lm.attention.tiles import attend_tiles
from behavior_lm.attention.tiles import causal_bias
from behavior_lm.attention.tiles import MASKED_BIAS
from behavior_lm.attention.tiles import segment_bias
from behavior_lm.common.rows import put_rows
from behavior_lm.common.rows import take_rows

# A segment id that no query has: nobody sees a key that bears it.
UNSEEN = -1


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
    global_outputs: jax.Array | None = None,
) -> jax.Array:
  """Attends to keys at most `window_size` steps away.

  O(length * (window_size + max_globals)) in time; each block of queries has the
  global keys beside those of its window.

  Longformer (arXiv 2004.05150), section 3.1, dilated or not. Every token also
  sees the global tokens, and those see everything, which the caller may compute
  (`attend_globally`) from projections of their own. Unlike the paper, rows are
  packed: a query sees only keys of its own segment, near or global. Equal to
  dense attention under `masks.window_mask | masks.global_mask`.

  Args:
    query, key, value: [batch, length, num_heads, head_dim], any length.
    segment_ids: [batch, length] int32 from 0, 0 marks padding.
    window_size: keys on EACH side, at least 1.
    dilation: positions from one key of the window to the next, at least 1.
    causal: no token, global or not, sees a later offset of the row.
    global_tokens: [batch, length] bool; None makes it each segment's first
      token, if `max_globals` allows any. Padding is never global.
    max_globals: global tokens in a row at most: of more, the first ones count.
    global_outputs: [batch, max_globals, num_heads, head_dim], what the tokens
      at `global_offsets` get; None lets them use query, key and value.

  Returns:
    [batch, length, num_heads, head_dim] in the type of `value`; rows of padding
    are zero.

  Raises:
    ValueError: if shapes disagree or a number is too small.
  """
  _check(query, key, value, segment_ids, window_size, dilation)
  has_globals = global_tokens is not None or global_outputs is not None
  if not max_globals and has_globals:
    raise ValueError(
        "max_globals is 0, yet there are global tokens or outputs: set it to"
        " the most global tokens that a row may hold"
    )
  if query.shape[1] == 0:
    return value
  band = make_band(
      query.shape[1],
      window_size=window_size,
      dilation=dilation,
      causal=causal,
  )
  query = query * query.shape[-1] ** -0.5
  real = segment_ids != 0
  if not max_globals:
    out = _near(query, key, value, segment_ids, real, band)
    return jnp.where(real[:, :, None, None], out, 0)
  if global_tokens is None:
    global_tokens = first_tokens(segment_ids)
  global_tokens = bound_globals(global_tokens, segment_ids, max_globals)
  offsets = global_offsets(global_tokens, max_globals)
  out = _near(
      query, key, value, segment_ids, real & ~global_tokens, band, offsets
  )
  out = jnp.where(real[:, :, None, None], out, 0)
  if global_outputs is None:
    global_outputs = attend_globally(
        take_rows(query, offsets), key, value, segment_ids, offsets, causal
    )
  return put_rows(out, offsets, global_outputs)


def attend_globally(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    segment_ids: jax.Array,
    offsets: jax.Array,
    causal: bool = False,
) -> jax.Array:
  """What global tokens make of all keys of their segments.

  Args:
    query: [batch, max_globals, heads, width] of the tokens at `offsets`,
      scaled.
    key: [batch, length, heads, width].
    value: [batch, length, heads, any width].
    segment_ids: [batch, length] int32, 0 marks padding.
    offsets: [batch, max_globals] int32, by `global_offsets`.
    causal: no global token sees a later offset of the row.

  Returns:
    [batch, max_globals, heads, width of the values] in the type of `value`;
    meaningless where an offset is outside of the row.
  """
  rows = jnp.broadcast_to(jnp.arange(segment_ids.shape[1]), segment_ids.shape)
  out = attend_tiles(
      causal_bias if causal else segment_bias,
      len(query),
      *(x.swapaxes(1, 2) for x in (query, key, value)),
      take_rows(segment_ids, offsets, UNSEEN)[:, None, None],
      segment_ids[:, None, :, None],
      *((offsets[:, None, None], rows[:, None, :, None]) if causal else ()),
  )
  return out.swapaxes(1, 2)


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
  unused = jnp.full((batch, max_globals), length, jnp.int32)
  places = jnp.broadcast_to(jnp.arange(length), slots.shape)
  return put_rows(unused, slots, places)


def _near(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    segment_ids: jax.Array,
    seen: jax.Array,
    band: Band,
    offsets: jax.Array | None = None,
) -> jax.Array:
  """What queries make of the `seen` keys in their window and of global ones."""
  seen_ids = jnp.where(seen, segment_ids, UNSEEN)[:, :, None, None]
  query_fields = [segment_ids[:, :, None, None]]
  key_fields = [key, value, seen_ids]
  fills = [0, 0, UNSEEN]
  num_globals = 0 if offsets is None else offsets.shape[1]
  causal_globals = offsets is not None and band.causal
  if causal_globals:
    by_row = jnp.arange(segment_ids.shape[1])[None, :, None, None]
    query_fields.append(jnp.broadcast_to(by_row, seen_ids.shape))
    key_fields.append(query_fields[1])
    fills.append(0)
  key_fields = [
      band.stretches(band.blocks(x, fill), fill)
      for x, fill in zip(key_fields, fills, strict=True)
  ]
  if offsets is not None:
    # Global keys stand behind each stretch: one softmax for all.
    ids = take_rows(segment_ids, offsets, UNSEEN)[:, :, None, None]
    few = [take_rows(key, offsets), take_rows(value, offsets), ids]
    if causal_globals:
      few.append(offsets[:, :, None, None])
    key_fields = [
        jnp.concatenate([x, _for_blocks(y, band)], 3)
        for x, y in zip(key_fields, few, strict=True)
    ]

  def make_bias(*fields: jax.Array) -> jax.Array:
    bias = causal_bias if causal_globals else segment_bias
    pads = ((0, num_globals), (0, 0))
    in_window = jnp.pad(band.near(), pads, constant_values=True)
    return jnp.where(in_window, bias(*fields), MASKED_BIAS)

  tiles = lambda x: x.reshape(-1, *x.shape[2:])
  key, value, *key_fields = map(tiles, key_fields)
  query_fields = [
      tiles(band.blocks(x)).swapaxes(-1, -2) for x in query_fields
  ]
  fields = zip(query_fields, key_fields, strict=True)
  out = attend_tiles(
      make_bias,
      len(query),
      tiles(band.blocks(query)),
      key,
      value,
      *(x for pair in fields for x in pair),
  )
  blocks = out.reshape(-1, band.num_blocks, *out.shape[1:])
  return band.rows(blocks)


def _for_blocks(x: jax.Array, band: Band) -> jax.Array:
  """Of a row's global tokens, [batch, n, heads, width], for all its blocks."""
  x = jnp.repeat(x.swapaxes(1, 2), band.dilation, 0)
  shape = (len(x), band.num_blocks, *x.shape[1:])
  return jnp.broadcast_to(x[:, None], shape)


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
