"""Behavior Sequence Transformer: the candidate is the last token."""

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.layers.transformer import TransformerLayer
from behavior_lm.models.histories.history import ActionVectors
from behavior_lm.models.histories.history import HistoryEncoder
from behavior_lm.models.histories.history import masked_mean


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
    self.layers = nnx.List([
        TransformerLayer(
            width,
            num_heads,
            mlp_dim,
            AttentionSpec("dense"),
            dropout_rate,
            activation="relu",
            norm_epsilon=1e-5,
            dtype=jnp.dtype("float32"),
            rngs=rngs,
        )
        for _ in range(num_layers)
    ])

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
    hidden = tokens + self.positions[...]
    segments = there.astype(jnp.int32)
    for layer in self.layers:
      hidden = layer(
          hidden,
          segment_ids=segments,
          positions=jnp.zeros_like(segments),
          deterministic=deterministic,
          rngs=rngs,
      )
    return jnp.concatenate([hidden[:, 0], masked_mean(hidden, there)], -1)
