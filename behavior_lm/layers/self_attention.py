"""Multi-head self-attention around the pure kernels."""

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.backends import attend
from behavior_lm.attention.backends import AttentionSpec
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
        embed_dim, out, kernel_init=KERNEL_INIT, dtype=dtype, rngs=rngs
    )
    self.qkv = make(3 * embed_dim)
    self.out = make(embed_dim)

  def __call__(
      self,
      hidden: jax.Array,
      *,
      segment_ids: jax.Array,
      positions: jax.Array,
      key_rng: jax.Array | None = None,
  ) -> jax.Array:
    """[batch, length, embed_dim] -> the same shape."""
    batch, length, _ = hidden.shape
    heads = (batch, length, self.num_heads, self.head_dim)
    query, key, value = jnp.split(self.qkv(hidden), 3, -1)
    query, key = query.reshape(heads), key.reshape(heads)
    if self.rotary:
      query, key = rotate(query, positions), rotate(key, positions)
    mixed = attend(
        query,
        key,
        value.reshape(heads),
        segment_ids=segment_ids,
        positions=positions,
        spec=self.spec,
        key_rng=key_rng,
    )
    return self.out(mixed.reshape(hidden.shape))
