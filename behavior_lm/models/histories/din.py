"""Deep Interest Network: actions weighed by how they meet the candidate."""

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.linear import Linear
from behavior_lm.models.histories.history import ActionVectors
from behavior_lm.models.histories.history import HistoryEncoder


class Din(HistoryEncoder):
  """The sum of actions, each times its relevance (arXiv 1706.06978, 4.3).

  An action weighs a(e, c) = MLP([type, e, c, e - c, e * c]), e being its item
  and c the candidate. As in the paper no softmax follows, so that many relevant
  actions count more than one; unlike there the sum is divided by the length of
  the input, which keeps its scale.

  Args:
    hidden_dim: of the MLP.
  """

  def __init__(
      self,
      type_dim: int,
      item_dim: int,
      length: int,
      *,
      hidden_dim: int = 32,
      rngs: nnx.Rngs,
  ):
    self.width, self.length = type_dim + item_dim, length
    linear = lambda a, b: Linear(a, b, dtype=jnp.dtype("float32"), rngs=rngs)
    self.hidden = linear(type_dim + 4 * item_dim, hidden_dim)
    self.out = linear(hidden_dim, 1)

  def __call__(
      self,
      actions: ActionVectors,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    del deterministic, rngs
    items = actions.items
    candidate = jnp.broadcast_to(actions.candidate[:, None], items.shape)
    met = jnp.concatenate(
        [
            actions.types,
            items,
            candidate,
            items - candidate,
            items * candidate,
        ],
        -1,
    )
    weights = self.out(jax.nn.relu(self.hidden(met)))[..., 0]
    weights = jnp.where(actions.there, weights, 0.0)
    summed = jnp.einsum("bl,bld->bd", weights, actions.tokens)
    return summed / self.length**0.5
