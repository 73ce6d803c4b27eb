"""Behavior Sequence Transformer: the candidate is the last token."""

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.models.histories.history import ActionVectors
from behavior_lm.models.histories.history import HistoryEncoder
from behavior_lm.models.histories.history import masked_mean
from behavior_lm.models.histories.history import run_layers
from behavior_lm.models.histories.history import transformer_layers


class Bst(HistoryEncoder):
  """A transformer over actions and candidate (arXiv 1905.06874), section 2.

  Positions are learned, counted from the candidate. The paper flattens all
  states; here the candidate's state and the mean of all go on, so that the
  layers behind do not grow with the length.

  Args:
    num_layers, num_heads, mlp_dim, dropout_rate: of the transformer.
  """

  def __init__(
      self,
      type_dim: int,
      item_dim: int,
      length: int,
      *,
      num_layers: int = 1,
      num_heads: int = 1,
      mlp_dim: int = 64,
      dropout_rate: float = 0.1,
      rngs: nnx.Rngs,
  ):
    width = type_dim + item_dim
    self.width = 2 * width
    self.positions = nnx.Param(
        0.02 * jax.random.normal(rngs.params(), (length + 1, width))
    )
    self.layers = transformer_layers(
        width,
        num_layers=num_layers,
        num_heads=num_heads,
        mlp_dim=mlp_dim,
        dropout_rate=dropout_rate,
        rngs=rngs,
    )

  def __call__(
      self,
      actions: ActionVectors,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    candidate = jnp.concatenate(
        [jnp.zeros_like(actions.types[:, 0]), actions.candidate], -1
    )
    tokens = jnp.concatenate([candidate[:, None], actions.tokens], 1)
    there = jnp.pad(actions.there, ((0, 0), (1, 0)), constant_values=True)
    hidden = run_layers(
        self.layers,
        tokens + self.positions[...],
        there,
        deterministic=deterministic,
        rngs=rngs,
    )
    return jnp.concatenate([hidden[:, 0], masked_mean(hidden, there)], -1)
