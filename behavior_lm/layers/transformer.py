"""The transformer layer of BERT, with its norms after or before."""

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.backends import AttentionSpec
from behavior_lm.layers.embeddings import KERNEL_INIT
from behavior_lm.layers.self_attention import SelfAttention

NORM_POSITIONS = ("post", "pre")


class TransformerLayer(nnx.Module):
  """Attention, then a feed-forward net, each with a residual and a norm.

  "post" is BERT's (arXiv 1810.04805): x = norm(x + attention(x)), x = norm(x +
  mlp(x)). "pre" norms the input of each part instead (arXiv 2002.04745): it
  bears higher learning rates and leaves the first plateau sooner; the model
  then norms the last layer's output once.
  """

  def __init__(
      self,
      embed_dim: int,
      num_heads: int,
      mlp_dim: int,
      spec: AttentionSpec,
      dropout_rate: float,
      *,
      norm_position: str = "post",
      rotary: bool = False,
      norm_epsilon: float,
      dtype: jnp.dtype,
      rngs: nnx.Rngs,
  ):
    if norm_position not in NORM_POSITIONS:
      raise ValueError(
          f"norm position {norm_position!r}; known are {NORM_POSITIONS}"
      )
    self.pre_norm = norm_position == "pre"
    norm = lambda: nnx.LayerNorm(
        embed_dim, epsilon=norm_epsilon, dtype=dtype, rngs=rngs
    )
    linear = lambda a, b: nnx.Linear(
        a, b, kernel_init=KERNEL_INIT, dtype=dtype, rngs=rngs
    )
    self.attention = SelfAttention(
        embed_dim, num_heads, spec, rotary=rotary, dtype=dtype, rngs=rngs
    )
    self.attention_norm = norm()
    self.mlp_in = linear(embed_dim, mlp_dim)
    self.mlp_out = linear(mlp_dim, embed_dim)
    self.mlp_norm = norm()
    self.dropout = nnx.Dropout(dropout_rate)

  def __call__(
      self,
      hidden: jax.Array,
      *,
      segment_ids: jax.Array,
      positions: jax.Array,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    """[batch, length, embed_dim] -> the same shape."""
    drop = lambda x: self.dropout(x, deterministic=deterministic, rngs=rngs)
    attend = lambda x: drop(
        self.attention(x, segment_ids=segment_ids, positions=positions)
    )
    # The exact GELU, as the original: erf, not its tanh approximation.
    mlp = lambda x: drop(
        self.mlp_out(jax.nn.gelu(self.mlp_in(x), approximate=False))
    )
    if self.pre_norm:
      hidden = hidden + attend(self.attention_norm(hidden))
      return hidden + mlp(self.mlp_norm(hidden))
    hidden = self.attention_norm(hidden + attend(hidden))
    return self.mlp_norm(hidden + mlp(hidden))
