"""Multi-head self-attention around the pure kernels."""

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.backends import attend
from behavior_lm.attention.backends import AttentionSpec
from behavior_lm.attention.sliding_window import bound_globals
from behavior_lm.attention.sliding_window import first_tokens
from behavior_lm.attention.sliding_window import global_offsets
from behavior_lm.attention.sliding_window import GlobalProjections
from behavior_lm.attention.sliding_window import take_rows
from behavior_lm.layers.embeddings import KERNEL_INIT
from behavior_lm.layers.position_encoding import rotate


class SelfAttention(nnx.Module):
  """One fused projection to query, key and value, attention, projection."""

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
    if embed_dim % num_heads:
      raise ValueError(
          f"embed_dim {embed_dim} is not divisible by num_heads {num_heads}"
      )
    self.num_heads = num_heads
    self.head_dim = embed_dim // num_heads
    self.spec = spec
    self.rotary = rotary
    make = lambda out: nnx.Linear(
        embed_dim,
        out,
        use_bias=use_bias,
        kernel_init=KERNEL_INIT,
        dtype=dtype,
        rngs=rngs,
    )
    self.qkv = make(3 * embed_dim)
    self.out = make(embed_dim)
    # Global tokens see with eyes of their own (Longformer, section 3.1).
    has_globals = spec.max_globals > 0
    self.global_query = make(embed_dim) if has_globals else None
    self.global_key_value = make(2 * embed_dim) if has_globals else None

  def __call__(
      self,
      hidden: jax.Array,
      *,
      segment_ids: jax.Array,
      positions: jax.Array,
      key_rng: jax.Array | None = None,
  ) -> jax.Array:
    """[batch, length, embed_dim] -> the same shape."""
    query, key, value = map(
        self._heads, jnp.split(self.qkv(hidden), 3, -1)
    )
    if self.rotary:
      query, key = rotate(query, positions), rotate(key, positions)
    mixed = attend(
        query,
        key,
        value,
        segment_ids=segment_ids,
        positions=positions,
        spec=self.spec,
        key_rng=key_rng,
        global_projections=self._global_projections(
            hidden, segment_ids, positions
        ),
    )
    return self.out(mixed.reshape(hidden.shape))

  def _heads(self, x: jax.Array) -> jax.Array:
    """[..., embed_dim] -> [..., num_heads, head_dim]."""
    return x.reshape(*x.shape[:-1], self.num_heads, self.head_dim)

  def _global_projections(
      self, hidden: jax.Array, segment_ids: jax.Array, positions: jax.Array
  ) -> GlobalProjections | None:
    """Each segment's first token as a global one, projected."""
    if self.global_query is None or self.global_key_value is None:
      return None
    most = self.spec.max_globals
    first = bound_globals(first_tokens(segment_ids), segment_ids, most)
    offsets = global_offsets(first, most)
    query = self._heads(self.global_query(take_rows(hidden, offsets)))
    key, value = map(
        self._heads, jnp.split(self.global_key_value(hidden), 2, -1)
    )
    if self.rotary:
      query = rotate(query, take_rows(positions, offsets))
      key = rotate(key, positions)
    return GlobalProjections(query, key, value)
