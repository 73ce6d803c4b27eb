"""Further fields of a token: calendar, account age, columns of the log."""

from collections.abc import Mapping

from flax import nnx
import jax
import jax.numpy as jnp


class FeatureEncoding(nnx.Module):
  """Adds one vector a field to each token embedding.

  A category has a row of a table, the first for "none" (-1). A number x gives
  w sign(x) log(1 + |x|) + b, which suits seconds, days and prices alike, and a
  learned vector of its own where it is missing (NaN; -1 in whole numbers).

  Args:
    features: (name, categories) of each field; 0 categories is a number.
    embed_dim: of the token embeddings.
    rngs: for the parameters.
  """

  def __init__(
      self,
      features: tuple[tuple[str, int], ...],
      embed_dim: int,
      *,
      rngs: nnx.Rngs,
  ):
    init = nnx.initializers.normal(0.02)
    self.categories = nnx.Dict({
        name: nnx.Embed(
            categories + 1,
            embed_dim,
            embedding_init=init,
            rngs=rngs,
        )
        for name, categories in features
        if categories
    })
    # Rows: weight, bias, missing.
    self.numbers = nnx.Dict({
        name: nnx.Param(init(rngs.params(), (3, embed_dim), jnp.float32))
        for name, categories in features
        if not categories
    })

  def __call__(
      self, embeddings: jax.Array, features: Mapping[str, jax.Array]
  ) -> jax.Array:
    """[batch, length, embed_dim] float32, {name: [batch, length]} -> same."""
    for vector in self.vectors(features):
      embeddings = embeddings + vector
    return embeddings

  def vectors(self, features: Mapping[str, jax.Array]) -> list[jax.Array]:
    """{name: [batch, length]} -> [batch, length, embed_dim] of each field."""
    found = [
        table(features[name] + 1) for name, table in self.categories.items()
    ]
    for name, rows in self.numbers.items():
      weight, bias, missing = rows[...]
      field = features[name]
      is_number = field.dtype.kind == "f"
      absent = jnp.isnan(field) if is_number else field < 0
      number = jnp.where(absent, 0, field).astype(jnp.float32)
      number = jnp.sign(number) * jnp.log1p(jnp.abs(number))
      scaled = number[..., None] * weight + bias
      found.append(jnp.where(absent[..., None], missing, scaled))
    return found
