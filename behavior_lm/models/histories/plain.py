"""Encoders of actions that do not look at the candidate."""

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.linear import Linear
from behavior_lm.models.histories.history import ActionVectors
from behavior_lm.models.histories.history import HistoryEncoder
from behavior_lm.models.histories.history import masked_max
from behavior_lm.models.histories.history import masked_mean


class NoHistory(HistoryEncoder):
  """Gives nothing: the features of the row alone decide."""

  reads_candidate = False

  def __init__(
      self, type_dim: int, item_dim: int, length: int, *, rngs: nnx.Rngs
  ):
    del type_dim, item_dim, length, rngs
    self.width = 0

  def __call__(
      self,
      actions: ActionVectors,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    del deterministic, rngs
    return jnp.zeros((len(actions.there), 0))


class AveragePool(HistoryEncoder):
  """The mean of all actions."""

  reads_candidate = False

  def __init__(
      self, type_dim: int, item_dim: int, length: int, *, rngs: nnx.Rngs
  ):
    del length, rngs
    self.width = type_dim + item_dim

  def __call__(
      self,
      actions: ActionVectors,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    del deterministic, rngs
    return masked_mean(actions.tokens, actions.there)


class Convolution(HistoryEncoder):
  """Neighbouring actions through one layer, then the maximum.

  Args:
    hidden_dim: of the layer.
    kernel_size: actions side by side that it sees, an odd number.
  """

  reads_candidate = False

  def __init__(
      self,
      type_dim: int,
      item_dim: int,
      length: int,
      *,
      hidden_dim: int = 64,
      kernel_size: int = 3,
      rngs: nnx.Rngs,
  ):
    del length
    if kernel_size % 2 == 0 or kernel_size < 1:
      raise ValueError(f"kernel_size {kernel_size}: give an odd number")
    self.width, self.side = hidden_dim, kernel_size // 2
    self.layer = Linear(
        kernel_size * (type_dim + item_dim),
        hidden_dim,
        dtype=jnp.dtype("float32"),
        rngs=rngs,
    )

  def __call__(
      self,
      actions: ActionVectors,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    del deterministic, rngs
    tokens = actions.tokens
    length = tokens.shape[1]
    padded = jnp.pad(tokens, ((0, 0), (self.side, self.side), (0, 0)))
    shifted = [padded[:, n : n + length] for n in range(2 * self.side + 1)]
    hidden = jax.nn.relu(self.layer(jnp.concatenate(shifted, -1)))
    return masked_max(hidden, actions.there)


class Gru(HistoryEncoder):
  """A gated recurrent unit (arXiv 1406.1078) from the oldest to the newest.

    z, r = sigmoid(W [x, h]);  n = tanh(V [x, r * h]);  h' = z h + (1 - z) n

  Padding and hidden actions leave the state as it is.

  Args:
    hidden_dim: of the state.
  """

  reads_candidate = False

  def __init__(
      self,
      type_dim: int,
      item_dim: int,
      length: int,
      *,
      hidden_dim: int = 64,
      rngs: nnx.Rngs,
  ):
    del length
    self.width = hidden_dim
    make = lambda out: Linear(
        type_dim + item_dim + hidden_dim,
        out,
        dtype=jnp.dtype("float32"),
        rngs=rngs,
    )
    self.gates, self.candidate = make(2 * hidden_dim), make(hidden_dim)

  def __call__(
      self,
      actions: ActionVectors,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    del deterministic, rngs

    def step(
        state: jax.Array, token: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, None]:
      x, there = token
      keep, reset = jnp.split(
          jax.nn.sigmoid(self.gates(jnp.concatenate([x, state], -1))), 2, -1
      )
      new = jnp.tanh(
          self.candidate(jnp.concatenate([x, reset * state], -1))
      )
      new = keep * state + (1 - keep) * new
      return jnp.where(there[:, None], new, state), None

    oldest_first = (
        actions.tokens[:, ::-1].swapaxes(0, 1),
        actions.there[:, ::-1].T,
    )
    first = jnp.zeros((len(actions.there), self.width))
    return jax.lax.scan(step, first, oldest_first)[0]
