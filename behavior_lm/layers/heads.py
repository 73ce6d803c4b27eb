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


class GapHead(nnx.Module):
  """Parameters of a mixture over time gaps, see `objectives.gap_mixture`."""

  # log(gap + 1) of ties and of four hours: where components begin.
  _RANGE = (0.0, 12.0)

  def __init__(
      self,
      embed_dim: int,
      num_components: int,
      *,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    self.num_components = num_components
    self.dense = Linear(embed_dim, 3 * num_components, dtype=dtype, rngs=rngs)
    centres = jnp.linspace(*self._RANGE, num_components)
    zeros = jnp.zeros(num_components)
    self.start = nnx.Param(jnp.stack([zeros, centres, zeros]))

  def __call__(self, hidden: jax.Array) -> jax.Array:
    """[..., embed_dim] -> [..., 3, num_components] float32."""
    found = self.dense(hidden).astype(jnp.float32)
    found = found.reshape(*hidden.shape[:-1], 3, self.num_components)
    return found + self.start[...]


def logits(head: Mapping[str, jax.Array]) -> jax.Array:
  """[..., vocab_size] float32 from the factors of a `TokenHead`."""
  hidden = head["hidden"]
  product = jnp.matmul(
      hidden,
      head["table"].astype(hidden.dtype).T,
      preferred_element_type=jnp.float32,
  )
  return product + head["bias"]
