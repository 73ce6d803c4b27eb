"""Scores candidates: features of the row, the user's last actions, crosses.

The wide and deep stack of Pinnability (arXiv 2306.00248, figure 2): vectors of
categories, numbers, what an encoder makes of the last actions and a vector of
the user from a pretrained model go side by side through full-rank crosses
(DCN v2) and an MLP; each head is one action that may happen.
"""

from collections.abc import Mapping, Sequence
import dataclasses
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.cross import CrossNetwork
from behavior_lm.layers.cross import pairwise_products
from behavior_lm.layers.dropout import Dropout
from behavior_lm.layers.linear import Linear
from behavior_lm.models.histories import HISTORIES
from behavior_lm.models.histories.history import ActionVectors
from behavior_lm.models.histories.history import nearest_actions
from behavior_lm.models.histories.transact import TransAct

WINDOWS = ("none", "example", "batch")
USER_VECTOR = "user_vector"


@dataclasses.dataclass(frozen=True)
class RankerInputs:
  """What the features are; the data says it.

  Attributes:
    num_ids: rows of the one array of vectors; 0 is padding.
    num_columns: categorical columns.
    candidate: place of the candidate's column; -1 is none, where no actions
      are read.
    zero_ids: ids of missing and unknown, whose vectors are born 0.
    unknown_ids: [columns] the unknown id of each.
    bags: names of the fields of several categories.
    dense_width: numbers of a row.
    num_actions: actions of a row; 0 is none.
    num_types: types of actions, with missing and unknown.
    user_dim: of a user's vector from a pretrained model; 0 is none.
  """

  num_ids: int
  num_columns: int
  candidate: int
  zero_ids: tuple[int, ...]
  unknown_ids: tuple[int, ...]
  bags: tuple[str, ...]
  dense_width: int
  num_actions: int
  num_types: int
  user_dim: int = 0

  @property
  def fields(self) -> tuple[str, ...]:
    """What a batch must hold."""
    actions: tuple[str, ...] = ()
    if self.num_actions:
      actions = (
          *("action_types", "action_items"),
          *("action_ages", "action_counts"),
      )
    user = (USER_VECTOR,) if self.user_dim else ()
    return ("ids", "dense", *self.bags, *actions, *user)


class Ranker(nnx.Module):
  """See the head of this file.

  Args:
    inputs: what the data has.
    num_heads: actions that are predicted.
    embed_dim: of the vectors of categories, items and types of actions.
    history: key of `models.histories.HISTORIES`.
    history_options: of it.
    counts: read how often each type of action occurred in the whole history,
      as logarithms.
    cross_layers: of DCN v2; 0 is none.
    mlp_dims: hidden layers beside the crosses.
    wide: a weight per category and head, as in logistic regression.
    products: add a weighted sum of pairwise products of the vectors of
      categories, as in factorisation machines.
    dropout_rate: of the joined vectors, and of the hidden layers.
    unknown_rate: share of categories that are made unknown while training, so
      that the vector of unknown is learned.
    window: hide the actions of the last T hours while training, T from 0 to
      `window_hours`: "none", "example" draws T for each row, "batch" once.
    window_hours: see there.
    init_scale: standard deviation of new vectors.
    rngs: for the parameters.
  """

  def __init__(
      self,
      inputs: RankerInputs,
      num_heads: int,
      *,
      embed_dim: int = 32,
      history: str = "transact",
      history_options: Mapping[str, Any] | None = None,
      counts: bool = True,
      cross_layers: int = 2,
      mlp_dims: Sequence[int] = (64,),
      wide: bool = True,
      products: bool = True,
      dropout_rate: float = 0.1,
      unknown_rate: float = 0.0,
      window: str = "example",
      window_hours: float = 24.0,
      num_recent: int = 0,
      num_nearest: int = 0,
      next_action: bool = False,
      init_scale: float = 0.05,
      rngs: nnx.Rngs,
  ):
    if window not in WINDOWS:
      raise ValueError(f"window {window!r}; known are {WINDOWS}")
    if history not in HISTORIES:
      raise ValueError(f"history {history!r}; known are {sorted(HISTORIES)}")
    if inputs.num_actions == 0 and history != "none":
      raise ValueError(
          f"history {history!r} reads actions, and the data has none: set"
          " history='none', or data.actions"
      )
    self.num_recent = num_recent or inputs.num_actions - num_nearest
    self.num_nearest = num_nearest
    length = self.num_recent + num_nearest
    if length > inputs.num_actions or (num_nearest and self.num_recent < 1):
      raise ValueError(
          f"num_recent {num_recent} and num_nearest {num_nearest} of"
          f" {inputs.num_actions} actions: give at least one recent action, and"
          " no more than data.num_actions together"
      )
    self.inputs = inputs
    self.window, self.window_seconds = window, 3600.0 * window_hours
    self.unknown_rate, self.embed_dim = unknown_rate, embed_dim
    born = init_scale * jax.random.normal(
        rngs.params(), (inputs.num_ids, embed_dim)
    )
    # What training never meets must say nothing.
    silent = jnp.asarray((0, *inputs.zero_ids))
    self.vectors = nnx.Param(born.at[silent].set(0.0))
    self.wide = (
        nnx.Param(jnp.zeros((inputs.num_ids, num_heads))) if wide else None
    )
    self.history = HISTORIES[history](
        embed_dim,
        embed_dim,
        length,
        rngs=rngs,
        **(history_options or {}),
    )
    self.counts = counts and inputs.num_actions > 0
    num_vectors = inputs.num_columns + len(inputs.bags)
    width = (
        num_vectors * embed_dim
        + inputs.dense_width
        + self.history.width
        + inputs.user_dim
        + (2 * inputs.num_types if self.counts else 0)
    )
    if not width:
      raise ValueError("the data has no feature: declare some in data.features")
    linear = lambda a, b: Linear(a, b, dtype=jnp.dtype("float32"), rngs=rngs)
    self.cross = CrossNetwork(width, cross_layers, rngs=rngs)
    widths = (width, *mlp_dims)
    self.mlp = nnx.List([
        linear(a, b) for a, b in zip(widths, widths[1:], strict=False)
    ])
    self.products = (
        linear(embed_dim, num_heads) if products and num_vectors > 1 else None
    )
    deep = widths[-1] if mlp_dims else 0
    self.out = linear(width + deep, num_heads)
    self.dropout = Dropout(dropout_rate)
    next_head = None
    if next_action:
      if not isinstance(self.history, TransAct):
        raise ValueError(
            f"next_action is a loss on the states of transact, not of {history}"
        )
      next_head = linear(self.history.token_dim, embed_dim)
    self.next_head = next_head

  def __call__(
      self,
      batch: Mapping[str, jax.Array],
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> jax.Array:
    """The logits of all heads.

    Args:
      batch: the fields of `inputs`, [batch, ...] each. Those of the user
        (actions and vector) may have one row alone, for all candidates.
      deterministic: no dropout, no window, no unknown categories.
      rngs: stream `dropout`, for training.

    Returns:
      [batch, num_heads] float32.
    """
    ids = batch["ids"]
    if not deterministic and self.unknown_rate and rngs is not None:
      lost = jax.random.bernoulli(
          rngs.dropout(), self.unknown_rate, ids.shape
      )
      ids = jnp.where(lost, jnp.asarray(self.inputs.unknown_ids), ids)
    rows = len(ids)
    vectors = self._vectors(ids, batch)
    parts = [vectors.reshape(rows, -1), batch["dense"]]
    if self.inputs.num_actions:
      parts.append(
          self._history(batch, vectors, deterministic=deterministic, rngs=rngs)
      )
    if self.counts:
      parts.append(_of_rows(count_features(batch["action_counts"]), rows))
    if self.inputs.user_dim:
      parts.append(_of_rows(batch[USER_VECTOR], rows))
    drop = lambda x: self.dropout(x, deterministic=deterministic, rngs=rngs)
    x = drop(jnp.concatenate(parts, -1))
    crossed, deep = self.cross(x), x
    for layer in self.mlp:
      deep = drop(jax.nn.relu(layer(deep)))
    joined = [crossed, deep] if len(self.mlp) else [crossed]
    logits = self.out(jnp.concatenate(joined, -1))
    if self.products is not None:
      logits = logits + self.products(pairwise_products(vectors))
    if self.wide is not None:
      logits = logits + self.wide[...][ids].sum(1)
    return logits

  def action_sequence(
      self, batch: Mapping[str, jax.Array]
  ) -> dict[str, jax.Array]:
    """Items of the recent actions, OLDEST first, as a loss on items reads them.

    Returns:
      `tokens` and `segment_ids`, [batch, num_recent] int32; the token of an
      item that is unknown or missing is 0, since it is no target.
    """
    items = batch["action_items"][:, : self.num_recent][:, ::-1]
    types = batch["action_types"][:, : self.num_recent][:, ::-1]
    odd = jnp.isin(items, jnp.asarray(self.inputs.zero_ids))
    return {
        "tokens": jnp.where(odd, 0, items),
        "segment_ids": (types > 0).astype(jnp.int32),
    }

  def next_actions(
      self,
      batch: Mapping[str, jax.Array],
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> dict[str, jax.Array]:
    """What predicts the item of the next action, for an auxiliary loss.

    Returns:
      `hidden` [batch, num_recent, embed_dim], oldest first, whose product with
      a row of `table` [num_ids, embed_dim] is the score of an item.
    """
    assert self.next_head is not None and isinstance(self.history, TransAct)
    types, items, ages = (
        batch[name][:, : self.num_recent]
        for name in ("action_types", "action_items", "action_ages")
    )
    table = self.vectors[...]
    actions = ActionVectors(
        types=table[types],
        items=table[items],
        candidate=table[batch["ids"][:, self.inputs.candidate]],
        ages=ages,
        there=types > 0,
    )
    states = self.history.past_states(
        actions, deterministic=deterministic, rngs=rngs
    )
    return {"hidden": self.next_head(states), "table": table}

  def penalty(self, batch: Mapping[str, jax.Array]) -> jax.Array:
    """Mean over rows of the squares of their categories' parameters."""
    squares = (self.vectors[...][batch["ids"]] ** 2).sum((1, 2))
    if self.wide is not None:
      squares = squares + (self.wide[...][batch["ids"]] ** 2).sum((1, 2))
    return squares.mean()

  def _vectors(
      self, ids: jax.Array, batch: Mapping[str, jax.Array]
  ) -> jax.Array:
    """[rows, columns and bags, embed_dim] by one gather."""
    bags = [batch[name] for name in self.inputs.bags]
    joined = jnp.concatenate([ids, *bags], 1)
    found = self.vectors[...][joined]
    vectors, at = [found[:, : ids.shape[1]]], ids.shape[1]
    for bag in bags:
      own = found[:, at : at + bag.shape[1]]
      at += bag.shape[1]
      there = (bag > 0).astype(jnp.float32)
      total = jnp.einsum("bl,bld->bd", there, own)
      mean = total / jnp.maximum(there.sum(1, keepdims=True), 1.0)
      vectors.append(mean[:, None])
    return jnp.concatenate(vectors, 1)

  def _history(
      self,
      batch: Mapping[str, jax.Array],
      vectors: jax.Array,
      *,
      deterministic: bool,
      rngs: nnx.Rngs | None,
  ) -> jax.Array:
    """[rows, width of the encoder]."""
    types, items = batch["action_types"], batch["action_items"]
    ages = batch["action_ages"]
    there = types > 0
    if not deterministic and self.window != "none" and rngs is not None:
      there &= ~self._hidden(ages, rngs.dropout())
    table, rows = self.vectors[...], len(vectors)
    candidate = vectors[:, self.inputs.candidate]
    types, items, ages, there = self._chosen(
        (types, items, ages, there), candidate
    )
    found = table[jnp.concatenate([types, items], 1)]
    actions = ActionVectors(
        types=found[:, : types.shape[1]],
        items=found[:, types.shape[1] :],
        candidate=candidate,
        ages=ages,
        there=there,
    )
    if len(types) != rows and self.history.reads_candidate:
      actions = ActionVectors(*(_of_rows(x, rows) for x in actions))
    encoded = self.history(actions, deterministic=deterministic, rngs=rngs)
    return _of_rows(encoded, rows)

  def _chosen(
      self, actions: tuple[jax.Array, ...], candidate: jax.Array
  ) -> tuple[jax.Array, ...]:
    """The newest actions, then the older ones nearest to the candidate."""
    recent = tuple(x[:, : self.num_recent] for x in actions)
    if not self.num_nearest:
      return recent
    older = tuple(x[:, self.num_recent :] for x in actions)
    _, items, _, there = older
    places = nearest_actions(
        candidate, self.vectors[...][items], there, self.num_nearest
    )
    at = lambda x: (
        x[0][places] if len(x) == 1 else jnp.take_along_axis(x, places, 1)
    )
    return tuple(
        jnp.concatenate([_of_rows(new, len(candidate)), at(old)], 1)
        for new, old in zip(recent, older, strict=True)
    )

  def _hidden(self, ages: jax.Array, key: jax.Array) -> jax.Array:
    """Which actions lie in the window before the request."""
    rows = len(ages) if self.window == "example" else 1
    width = jax.random.uniform(key, (rows, 1), maxval=self.window_seconds)
    return ages < width


def count_features(counts: jax.Array) -> jax.Array:
  """[batch, types] -> [batch, 2 * types]: logarithms of counts and odds."""
  rest = counts.sum(-1, keepdims=True) - counts
  odds = jnp.log(counts + 1.0) - jnp.log(rest + 1.0)
  return jnp.concatenate([0.3 * jnp.log1p(counts), odds], -1)


def _of_rows(x: jax.Array, rows: int) -> jax.Array:
  """Repeats what belongs to the one user of all rows."""
  return jnp.broadcast_to(x, (rows, *x.shape[1:]))
