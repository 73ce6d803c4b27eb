"""Heads: what is predicted from hidden states."""

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.embeddings import KERNEL_INIT


class TokenHead(nnx.Module):
  """BERT's masked-token head: dense, GELU, norm, then the token embedding.

  The output table is the input table (tied by passing it, never by aliasing),
  with a bias of its own.
  """

  def __init__(
      self,
      vocab_size: int,
      embed_dim: int,
      *,
      norm_epsilon: float,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    self.dense = nnx.Linear(
        embed_dim, embed_dim, kernel_init=KERNEL_INIT, dtype=dtype, rngs=rngs
    )
    self.norm = nnx.LayerNorm(
        embed_dim, epsilon=norm_epsilon, dtype=dtype, rngs=rngs
    )
    self.bias = nnx.Param(jnp.zeros((vocab_size,)))

  def __call__(self, hidden: jax.Array, token_embed: nnx.Embed) -> jax.Array:
    """[..., embed_dim] -> [..., vocab_size] float32 logits."""
    hidden = self.norm(jax.nn.gelu(self.dense(hidden), approximate=False))
    return token_embed.attend(hidden).astype(jnp.float32) + self.bias[...]
