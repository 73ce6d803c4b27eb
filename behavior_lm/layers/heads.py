"""Heads: what is predicted from hidden states."""

from collections.abc import Mapping

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.activations import find_activation
from behavior_lm.layers.linear import Linear


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
      table_dim: int | None = None,
      use_bias: bool = True,
      activation: str = "gelu",
      norm_epsilon: float,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    width = table_dim or embed_dim
    self.activate = find_activation(activation)
    self.dense = Linear(
        embed_dim, width, use_bias=use_bias, dtype=dtype, rngs=rngs
    )
    self.norm = nnx.LayerNorm(
        width, epsilon=norm_epsilon, use_bias=use_bias, dtype=dtype, rngs=rngs
    )
    self.bias = nnx.Param(jnp.zeros((vocab_size,)))

  def __call__(
      self, hidden: jax.Array, token_embed: nnx.Embed
  ) -> dict[str, jax.Array]:
    """The logits as factors, so that a loss need not make them whole.

    Args:
      hidden: [..., embed_dim].
      token_embed: the input table.

    Returns:
      `hidden` [..., table_dim], `table` [vocab_size, table_dim] and `bias`
      [vocab_size], the latter two float32; `logits` joins them.
    """
    hidden = self.norm(self.activate(self.dense(hidden)))
    table = token_embed.embedding[...]
    return {"hidden": hidden, "table": table, "bias": self.bias[...]}


def logits(head: Mapping[str, jax.Array]) -> jax.Array:
  """[..., vocab_size] float32 from the factors of a `TokenHead`."""
  hidden = head["hidden"]
  product = jnp.matmul(
      hidden,
      head["table"].astype(hidden.dtype).T,
      preferred_element_type=jnp.float32,
  )
  return product + head["bias"]
