"""Trained vectors among the embeddings of the input (arXiv 2104.08691).

A prompt has places for them whose ids follow those of the vocabulary: the
vector of id `vocab_size + i` is number i. They have positions like tokens.
"""

from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

# Parameters of soft prompts, whose paths no pretrained run has.
PATTERN = r"soft_prompt/vectors$"


class SoftPrompt(nnx.Module):
  """Vectors [length, width], born as embeddings of random tokens.

  Args:
    length: vectors.
    table: of the tokens, [vocab_size, width].
    rngs: draws the tokens.
  """

  def __init__(self, length: int, table: jax.Array, *, rngs: nnx.Rngs):
    if length < 1:
      raise ValueError(f"soft prompt of {length} vectors; give at least 1")
    self.vocab_size = len(table)
    # The weights may come later than this: their scale is what is taken.
    std = jnp.maximum(jnp.std(table), 0.02)
    shape = (length, table.shape[1])
    self.vectors = nnx.Param(std * jax.random.normal(rngs.params(), shape))

  def __call__(self, tokens: jax.Array, embedded: Any) -> jax.Array:
    """Ids [batch, length] -> [batch, length, width].

    Args:
      tokens: ids, those of the soft prompt included.
      embedded: function of ids below `vocab_size` to their embeddings.
    """
    place = tokens - self.vocab_size
    own = self.vectors[...][jnp.clip(place, 0, self.vectors.shape[0] - 1)]
    plain = embedded(jnp.minimum(tokens, self.vocab_size - 1))
    return jnp.where((place >= 0)[..., None], own.astype(plain.dtype), plain)


def add_soft_prompt(encoder: Any, length: int, *, rngs: nnx.Rngs) -> None:
  """Gives an encoder's embeddings a soft prompt.

  Raises:
    ValueError: if `length` is below 1.
  """
  embed = encoder.embed
  embed.soft_prompt = SoftPrompt(length, embed.token.embedding[...], rngs=rngs)
