"""TransAct: a small transformer over a user's last actions.

arXiv 2306.00248, section 3.2. Actions come newest first. The candidate meets
them early ("concat": it is part of each token) or as one more token
("append"). What the transformer gives is compressed: the states of the first K
actions side by side, and the maximum.
"""

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.time_encoding import TIME_ENCODINGS
from behavior_lm.models.histories.history import ActionVectors
from behavior_lm.models.histories.history import causal_copy
from behavior_lm.models.histories.history import HistoryEncoder
from behavior_lm.models.histories.history import masked_max
from behavior_lm.models.histories.history import run_layers
from behavior_lm.models.histories.history import transformer_layers

FUSIONS = ("concat", "append")
POOLS = ("all", "rest", "none")
# The longest age in 100 ms that fits a time encoding's whole numbers.
_LONGEST = 2**31 - 128


class TransAct(HistoryEncoder):
  """See the head of this file.

  Args:
    type_dim, item_dim: of the vectors of actions.
    length: actions of a row.
    fusion: "concat": a token is type, item, candidate; "append": a token is
      type, item, and the candidate is the last one, with a type of zeros.
    num_layers, num_heads, mlp_dim, dropout_rate: of the transformer, with
      norms after its parts and ReLU.
    num_first: K, the newest states that go on side by side.
    pool: the maximum over "all" states, over the "rest" behind the first K, or
      "none".
    positions: add a learned vector per place; the paper found no use for it.
    time_encoding: key of TIME_ENCODINGS, of the age of an action.
    rngs: for the parameters.
  """

  def __init__(
      self,
      type_dim: int,
      item_dim: int,
      length: int,
      *,
      fusion: str = "concat",
      num_layers: int = 2,
      num_heads: int = 1,
      mlp_dim: int = 32,
      dropout_rate: float = 0.1,
      num_first: int = 10,
      pool: str = "all",
      positions: bool = False,
      time_encoding: str = "none",
      rngs: nnx.Rngs,
  ):
    if fusion not in FUSIONS:
      raise ValueError(f"fusion {fusion!r}; known are {FUSIONS}")
    if pool not in POOLS:
      raise ValueError(f"pool {pool!r}; known are {POOLS}")
    if time_encoding not in TIME_ENCODINGS:
      raise ValueError(
          f"time_encoding {time_encoding!r}; known are {sorted(TIME_ENCODINGS)}"
      )
    if num_first < 0 or (num_first == 0 and pool == "none"):
      raise ValueError(
          f"num_first {num_first} with pool {pool!r} leaves nothing"
      )
    self.fusion, self.pool = fusion, pool
    self.num_first = min(num_first, length)
    token_dim = type_dim + item_dim * (2 if fusion == "concat" else 1)
    self.token_dim = token_dim
    self.width = token_dim * (self.num_first + (pool != "none"))
    self.positions = (
        nnx.Param(
            0.02 * jax.random.normal(rngs.params(), (length, token_dim))
        )
        if positions
        else None
    )
    self.time = TIME_ENCODINGS[time_encoding](token_dim, rngs=rngs)
    self.layers = transformer_layers(
        token_dim,
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
    tokens, there = self.tokens(actions)
    hidden = self.encode(
        tokens, there, deterministic=deterministic, rngs=rngs
    )
    return self.compress(hidden, there)

  def past_states(
      self,
      actions: ActionVectors,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    """[batch, length, token_dim], OLDEST first, of each action and its past.

    The same layers read the actions without a candidate, so that a state may
    predict the action behind it.
    """
    nothing = jnp.zeros_like(actions.candidate)
    tokens, there = self.tokens(actions._replace(candidate=nothing))
    length = actions.there.shape[1]
    return run_layers(
        map(causal_copy, self.layers),
        tokens[:, :length][:, ::-1],
        there[:, :length][:, ::-1],
        deterministic=deterministic,
        rngs=rngs,
    )

  def tokens(self, actions: ActionVectors) -> tuple[jax.Array, jax.Array]:
    """[batch, tokens, dim], and [batch, tokens] bool, which are there."""
    tokens, there = actions.tokens, actions.there
    if self.fusion == "concat":
      candidate = jnp.broadcast_to(
          actions.candidate[:, None], actions.items.shape
      )
      tokens = jnp.concatenate([tokens, candidate], -1)
    if self.positions is not None:
      tokens = tokens + self.positions[...]
    tenths = jnp.clip(10.0 * actions.ages, 0, _LONGEST).astype(jnp.int32)
    tokens = self.time(tokens, jnp.where(there, tenths, -1))
    if self.fusion == "append":
      last = jnp.concatenate(
          [jnp.zeros_like(actions.types[:, 0]), actions.candidate], -1
      )
      tokens = jnp.concatenate([tokens, last[:, None]], 1)
      there = jnp.pad(there, ((0, 0), (0, 1)), constant_values=True)
    return tokens, there

  def encode(
      self,
      tokens: jax.Array,
      there: jax.Array,
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """The states of the transformer, 0 where no token is."""
    hidden = run_layers(
        self.layers, tokens, there, deterministic=deterministic, rngs=rngs
    )
    return jnp.where(there[..., None], hidden, 0.0)

  def compress(self, hidden: jax.Array, there: jax.Array) -> jax.Array:
    """[batch, tokens, dim] -> [batch, width]."""
    first = hidden[:, : self.num_first].reshape(len(hidden), -1)
    if self.pool == "none":
      return first
    start = self.num_first if self.pool == "rest" else 0
    pooled = masked_max(hidden[:, start:], there[:, start:])
    return jnp.concatenate([first, pooled], -1)
