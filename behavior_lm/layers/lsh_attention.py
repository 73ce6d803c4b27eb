"""Self-attention by hashing, where queries are keys."""

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.backends import attend
from behavior_lm.attention.hashing import draw_rotations
from behavior_lm.attention.hashing import hash_vectors
from behavior_lm.attention.hashing import Order
from behavior_lm.attention.lsh import sort_into_chunks
from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.attention.weights import kernel_weights
from behavior_lm.common.rows import take_rows_or_all
from behavior_lm.layers.linear import Linear
from behavior_lm.layers.position_encoding import rotate
from behavior_lm.layers.self_attention import divide_width


class LshSelfAttention(nnx.Module):
  """One projection to query and value, attention by hashing, projection."""

  def __init__(
      self,
      embed_dim: int,
      num_heads: int,
      spec: AttentionSpec,
      *,
      rotary: bool = False,
      use_bias: bool = True,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    self.num_heads = num_heads
    self.head_dim = divide_width(embed_dim, num_heads, rotary=rotary)
    self.spec = spec
    self.rotary = rotary
    make = lambda out: Linear(
        embed_dim, out, use_bias=use_bias, dtype=dtype, rngs=rngs
    )
    self.query_value = make(2 * embed_dim)
    self.out = make(embed_dim)

  def draw_rotations(self, key: jax.Array, length: int) -> jax.Array:
    """What `__call__` hashes rows of a length by."""
    return draw_rotations(
        key,
        num_heads=self.num_heads,
        head_dim=self.head_dim,
        num_hashes=self.spec.num_hashes,
        num_buckets=self.spec.buckets(length),
    )

  def __call__(
      self,
      hidden: jax.Array,
      *,
      segment_ids: jax.Array,
      positions: jax.Array,
      rotations: jax.Array | None,
      order: Order | None = None,
      offsets: jax.Array | None = None,
  ) -> tuple[jax.Array, Order]:
    """Attends to what hashing brings together.

    Args:
      hidden: [batch, length, embed_dim].
      segment_ids: [batch, length] int32, 0 marks padding.
      positions: [batch, length] int32 within the segment.
      rotations: as `draw_rotations` gives them; not read with an order.
      order: of an earlier call with the same hidden states; without one tokens
        are hashed and sorted.
      offsets: [batch, n] row offsets, if only those are wanted.

    Returns:
      [batch, length or n, embed_dim], and the order.

    Raises:
      ValueError: if there is nothing to hash by, or the backend that is asked
        for cannot hash.
    """
    query, value = self._query_value(hidden, positions)
    if order is None:
      order = self._sorted(query, segment_ids, rotations)
    mixed = attend(
        query,
        None,
        value,
        segment_ids=segment_ids,
        positions=positions,
        spec=self.spec,
        order=order,
    )
    mixed = take_rows_or_all(mixed.reshape(hidden.shape), offsets)
    return self.out(mixed), order

  def weights(
      self,
      hidden: jax.Array,
      *,
      segment_ids: jax.Array,
      positions: jax.Array,
      rotations: jax.Array | None,
  ) -> jax.Array:
    """How much each token weighs in what each token gets.

    Args:
      hidden, segment_ids, positions, rotations: see `__call__`.

    Returns:
      [batch, num_heads, length, length] float32: queries down, keys across.

    Raises:
      ValueError: if there is nothing to hash by.
    """
    query, value = self._query_value(hidden, positions)
    order = self._sorted(query, segment_ids, rotations)
    mix = lambda value: attend(
        query,
        None,
        value.astype(query.dtype),
        segment_ids=segment_ids,
        positions=positions,
        spec=self.spec,
        order=order,
    )
    return kernel_weights(mix, value.shape)

  def _query_value(
      self, hidden: jax.Array, positions: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """[batch, length, num_heads, head_dim] each."""
    query, value = (
        x.reshape(*x.shape[:-1], self.num_heads, self.head_dim)
        for x in jnp.split(self.query_value(hidden), 2, -1)
    )
    return (rotate(query, positions) if self.rotary else query), value

  def _sorted(
      self,
      query: jax.Array,
      segment_ids: jax.Array,
      rotations: jax.Array | None,
  ) -> Order:
    """How hashing sorts the tokens of each row."""
    if rotations is None:
      raise ValueError("hashing needs rotations: see `draw_rotations`")
    buckets = hash_vectors(
        query, rotations, self.spec.buckets(query.shape[1])
    )
    return sort_into_chunks(buckets, segment_ids, self.spec.chunk_size)
