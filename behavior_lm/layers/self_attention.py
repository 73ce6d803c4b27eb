"""Multi-head self-attention around the pure kernels."""

import functools
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.backends import attend
from behavior_lm.attention.backends import takes_few_queries
from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.sliding_window import attend_globally
from behavior_lm.attention.sliding_window import bound_globals
from behavior_lm.attention.sliding_window import first_tokens
from behavior_lm.attention.sliding_window import global_offsets
from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.attention.weights import kernel_weights
from behavior_lm.common.rows import take_rows
from behavior_lm.common.rows import take_rows_or_all
from behavior_lm.layers.adapters.prefix import Prefix
from behavior_lm.layers.linear import Linear
from behavior_lm.layers.position_encoding import rotate
from behavior_lm.layers.relative_time import BIAS
from behavior_lm.layers.relative_time import pad_heads
from behavior_lm.layers.relative_time import ROTARY
from behavior_lm.layers.relative_time import TimeBias

# "key" and "value", [batch, length, num_heads, head_dim] each.
Cache = dict[str, jax.Array]


def divide_width(embed_dim: int, num_heads: int, *, rotary: bool) -> int:
  """head_dim, where the heads share the width.

  Raises:
    ValueError: if they cannot, or halves of a head cannot be rotated.
  """
  if num_heads < 1 or embed_dim % num_heads:
    raise ValueError(
        f"embed_dim {embed_dim} is not divisible by num_heads {num_heads}"
    )
  head_dim = embed_dim // num_heads
  if rotary and head_dim % 2:
    raise ValueError(
        f"rotary positions need an even head_dim; embed_dim {embed_dim} and"
        f" num_heads {num_heads} make {head_dim}"
    )
  return head_dim


class SelfAttention(nnx.Module):
  """One fused projection to query, key and value, attention, projection.

  The heads share embed_dim, unless `head_dim` gives each a width of its own.
  """

  def __init__(
      self,
      embed_dim: int,
      num_heads: int,
      spec: AttentionSpec,
      *,
      head_dim: int | None = None,
      rotary: bool = False,
      relative_time: str = "none",
      use_bias: bool = True,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    if head_dim is not None and spec.max_globals:
      raise ValueError(
          f"head_dim {head_dim} with global tokens: leave it to follow from"
          " embed_dim and num_heads"
      )
    self.num_heads = num_heads
    self.rotary_time = relative_time == ROTARY
    self.head_dim = head_dim or divide_width(
        embed_dim, num_heads, rotary=rotary or self.rotary_time
    )
    if self.rotary_time and self.head_dim < 4:
      raise ValueError(
          f"rotary time needs a head_dim of 4 at least, got {self.head_dim}"
      )
    self.spec = spec
    self.rotary = rotary
    self.time_bias = (
        TimeBias(num_heads, self.head_dim) if relative_time == BIAS else None
    )
    project = lambda width, out: Linear(
        width, out, use_bias=use_bias, dtype=dtype, rngs=rngs
    )
    make = lambda out: project(embed_dim, out)
    inner = num_heads * self.head_dim
    self.qkv = make(3 * inner)
    self.out = project(inner, embed_dim)
    # Global tokens see with eyes of their own (Longformer, section 3.1).
    has_globals = spec.max_globals > 0
    self.global_query = make(embed_dim) if has_globals else None
    self.global_key_value = make(2 * embed_dim) if has_globals else None
    # Trained keys and values before those of the tokens, see
    # `layers.adapters.prefix`.
    self.prefix: Prefix | None = nnx.data(None)
    # Few global tokens need no keys and values of all the others, see below;
    # rotary keys cannot be left out.
    self.folds_globals = (
        has_globals
        and not rotary
        and not self.rotary_time
        and spec.max_globals < self.head_dim
    )

  def __call__(
      self,
      hidden: jax.Array,
      *,
      segment_ids: jax.Array,
      positions: jax.Array,
      offsets: jax.Array | None = None,
      clock: jax.Array | None = None,
      since: jax.Array | None = None,
  ) -> jax.Array:
    """Each token's mix of the tokens that it attends to.

    Args:
      hidden: [batch, length, embed_dim].
      segment_ids, positions: [batch, length] int32.
      offsets: [batch, n] row offsets, if only those are wanted.
      clock: [batch, length] int32, see `layers.relative_time`; needed where
        this layer reads time.
      since: [batch, length] int32, see `attention.backends.attend`.

    Returns:
      [batch, length or n, embed_dim].
    """
    if not self.reads_clock:
      clock = None
    elif clock is None:
      raise ValueError("this layer reads time: it needs a clock")
    # Where the kernel takes few queries, others are not even made.
    query_at = offsets if self._takes_few_queries(hidden) else None
    if query_at is None:
      query, key, value = jnp.split(self.qkv(hidden), 3, -1)
      query_positions, query_clock = positions, clock
    else:
      width = self.num_heads * self.head_dim
      query = self.qkv.some(take_rows(hidden, query_at), slice(0, width))
      rest = self.qkv.some(hidden, slice(width, 3 * width))
      key, value = jnp.split(rest, 2, -1)
      query_positions = take_rows(positions, query_at)
      query_clock = None if clock is None else take_rows(clock, query_at)
    query, key, value = map(self._heads, (query, key, value))
    query = self._turn(query, query_positions, query_clock)
    key = self._turn(key, positions, clock)
    query, key, value = self._widen((query, key, value), clock, query_clock)
    if self.prefix is not None:
      if since is not None:
        raise ValueError("history tokens do not fit a model with a prefix")
      mixed = self.prefix.attend(
          query,
          key,
          value,
          segment_ids=segment_ids,
          positions=positions,
          spec=self.spec,
      )
    else:
      of_globals = self._global_outputs(hidden, segment_ids, positions, clock)
      if of_globals is not None:
        of_globals = pad_heads(of_globals, query.shape[-1])
      mixed = attend(
          query,
          key,
          value,
          segment_ids=segment_ids,
          positions=positions,
          spec=self.spec,
          query_at=query_at,
          global_outputs=of_globals,
          since=since,
      )
    mixed = mixed[..., : self.head_dim]
    mixed = mixed.reshape(*mixed.shape[:2], -1)
    if query_at is None:
      mixed = take_rows_or_all(mixed, offsets)
    return self.out(mixed)

  def weights(
      self,
      hidden: jax.Array,
      *,
      segment_ids: jax.Array,
      positions: jax.Array,
      clock: jax.Array | None = None,
  ) -> jax.Array:
    """How much each token weighs in what each token gets.

    Args:
      hidden, segment_ids, positions, clock: see `__call__`.

    Returns:
      [batch, num_heads, length, length] float32: queries down, keys across.

    Raises:
      ValueError: if trained keys stand before those of the tokens.
    """
    if self.prefix is not None:
      raise ValueError("a layer with a prefix weighs more than its tokens")
    query, key, value = map(self._heads, jnp.split(self.qkv(hidden), 3, -1))
    query, key = (self._turn(x, positions, clock) for x in (query, key))
    row: Any = dict(segment_ids=segment_ids, positions=positions)

    def mix(value: jax.Array) -> jax.Array:
      own = self._global_outputs(hidden, **row, clock=clock, value=value)
      arrays = self._widen((query, key, value.astype(query.dtype)), clock)
      if own is not None:
        own = pad_heads(own, arrays[0].shape[-1])
      mixed = attend(*arrays, spec=self.spec, global_outputs=own, **row)
      return mixed[..., : self.head_dim]

    return kernel_weights(mix, value.shape)

  @property
  def reads_clock(self) -> bool:
    """Whether a call needs the clock."""
    return self.rotary_time or self.time_bias is not None

  @property
  def takes_steps(self) -> bool:
    """Whether `step` serves this layer."""
    return (
        self.spec.causal
        and not self.reads_clock
        and self.spec.kind in ("dense", "sliding_window")
        and not self.spec.max_globals
        and self.spec.dilation == 1
        and self.prefix is None
    )

  def step(
      self, hidden: jax.Array, cache: Cache, place: jax.Array
  ) -> tuple[jax.Array, Cache]:
    """One more token of a causal layer, from the keys and values so far.

    Args:
      hidden: [batch, 1, embed_dim] of the token at `place`.
      cache: see `make_cache`.
      place: [] int32, the same in all rows; rows are one segment each.

    Returns:
      [batch, 1, embed_dim], and the cache with this token's key and value.

    Raises:
      ValueError: if the layer is not causal, or has parts that look at more
        than keys and values.
    """
    if not self.takes_steps:
      raise ValueError(
          "tokens one by one need causal attention, dense or over a window"
          " without global tokens or prefix, that reads no clock; this layer"
          f" has {self.spec}"
      )
    query, key, value = map(self._heads, jnp.split(self.qkv(hidden), 3, -1))
    positions = jnp.broadcast_to(place, (len(hidden), 1))
    query, key = self._turn(query, positions), self._turn(key, positions)
    put = lambda all, new: jax.lax.dynamic_update_slice_in_dim(
        all, new, place, 1
    )
    cache = {"key": put(cache["key"], key), "value": put(cache["value"], value)}
    behind = place - jnp.arange(cache["key"].shape[1])
    mask = behind >= 0
    if self.spec.kind == "sliding_window":
      mask &= behind <= self.spec.window_size
    mixed = dense_attention(
        query, cache["key"], cache["value"], mask=mask[None, None, None]
    )
    return self.out(mixed.reshape(*hidden.shape[:2], -1)), cache

  def make_cache(self, batch: int, length: int) -> Cache:
    """Room for the keys and values of rows of so many tokens."""
    shape = (batch, length, self.num_heads, self.head_dim)
    zeros = jnp.zeros(shape, self.qkv.dtype)
    return {"key": zeros, "value": zeros}

  def _takes_few_queries(self, hidden: jax.Array) -> bool:
    if self.prefix is not None:
      return False
    shape = (*hidden.shape[:2], self.num_heads, self.head_dim)
    query = jax.ShapeDtypeStruct(shape, self.qkv.dtype)
    return takes_few_queries(self.spec, query)

  def _heads(self, x: jax.Array) -> jax.Array:
    """[..., num_heads * head_dim] -> [..., num_heads, head_dim]."""
    return x.reshape(*x.shape[:-1], self.num_heads, self.head_dim)

  def _turn(
      self,
      x: jax.Array,
      positions: jax.Array,
      clock: jax.Array | None = None,
  ) -> jax.Array:
    """Queries or keys, turned by their positions and times where that is on."""
    if not self.rotary and not self.rotary_time:
      return x
    return rotate(
        x,
        positions if self.rotary else None,
        clock if self.rotary_time else None,
    )

  def _widen(
      self,
      arrays: tuple[jax.Array, jax.Array, jax.Array],
      clock: jax.Array | None,
      query_clock: jax.Array | None = None,
  ) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Query, key and value with the numbers of the bias of time, if any."""
    if self.time_bias is None:
      return arrays
    assert clock is not None
    asked = clock if query_clock is None else query_clock
    return self.time_bias(arrays, asked, clock)

  def _global_outputs(
      self,
      hidden: jax.Array,
      segment_ids: jax.Array,
      positions: jax.Array,
      clock: jax.Array | None,
      value: jax.Array | None = None,
  ) -> jax.Array | None:
    """What each segment's first token, a global one, makes of its segment.

    `value` stands in for the projected values, if given.
    """
    if self.global_query is None or self.global_key_value is None:
      return None
    most = self.spec.max_globals
    first = bound_globals(first_tokens(segment_ids), segment_ids, most)
    offsets = global_offsets(first, most)
    query = self._heads(self.global_query(take_rows(hidden, offsets)))
    attend_all = functools.partial(
        attend_globally, segment_ids=segment_ids, causal=self.spec.causal
    )
    if value is not None or not self.folds_globals:
      key, projected = map(
          self._heads, jnp.split(self.global_key_value(hidden), 2, -1)
      )
      value = projected if value is None else value.astype(projected.dtype)
      query_clock = None if clock is None else take_rows(clock, offsets)
      query = self._turn(query, take_rows(positions, offsets), query_clock)
      key = self._turn(key, positions, clock)
      query = query * self.head_dim**-0.5
      return attend_all(query, key, value, offsets=offsets)
    # q (W x + b) = (W^T q) x + const, and the sum over p (W x + b) is W times
    # the sum over p x, plus b: few queries meet the hidden states themselves,
    # and keys and values need not be made. The constant changes no softmax.
    # In float32: these products are small, and so are their gradients' sums.
    kernel, bias = self.global_key_value.kernel, self.global_key_value.bias
    of_key, of_value = jnp.split(self._heads_of(kernel[...]), 2, 1)
    query = query.astype(jnp.float32) * self.head_dim**-0.5
    query = jnp.einsum("bghd,ehd->bghe", query, of_key)
    dtype = self.global_key_value.dtype
    rows = hidden.astype(dtype)[:, :, None]
    mixed = attend_all(
        query.astype(dtype).reshape(
            len(query), most * self.num_heads, 1, -1
        ),
        rows,
        rows,
        offsets=jnp.repeat(offsets, self.num_heads, 1),
    )
    mixed = mixed.reshape(query.shape).astype(jnp.float32)
    out = jnp.einsum("bghe,ehd->bghd", mixed, of_value)
    if bias is not None:
      out = out + jnp.split(self._heads_of(bias[...]), 2, 0)[1]
    return out

  def _heads_of(self, x: jax.Array) -> jax.Array:
    """[..., 2 * embed_dim] -> [..., 2 * num_heads, head_dim]."""
    return x.reshape(*x.shape[:-1], 2 * self.num_heads, self.head_dim)
