"""A causal encoder of items with a table of the items that come next."""

from collections.abc import Mapping
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.layers.embeddings import INIT
from behavior_lm.models.encoders import ENCODERS
from behavior_lm.models.encoders.config import EncoderConfig

# The logit of tokens that are no items.
_NEVER = -1e9


class ItemHead(nnx.Module):
  """An output table of its own."""

  def __init__(self, vocab_size: int, embed_dim: int, *, rngs: nnx.Rngs):
    self.table = nnx.Param(
        INIT(rngs.params(), (vocab_size, embed_dim), jnp.float32)
    )


class NextItem(nnx.Module):
  """User vectors and item vectors whose product says what comes next.

  The vector of a user is the state at the last event; the vector of an item is
  its row of the output table.

  Args:
    name: key of `ENCODERS`.
    config: of the encoder.
    num_special: tokens below are no items.
    tied: the output table is the encoder's token table; otherwise it is one
      more.
    from_end: positions are counted from the event that predicts the last one
      of a sequence, back to the first, so that the newest events have the same
      embedding whatever the length.
    rngs: for the parameters.

  Raises:
    ValueError: if a tied table has another width than the states.
  """

  def __init__(
      self,
      name: str,
      config: EncoderConfig,
      *,
      num_special: int,
      tied: bool,
      from_end: bool,
      rngs: nnx.Rngs,
  ):
    if tied and config.embedding_dim not in (None, config.embed_dim):
      raise ValueError(
          f"tied tables with embedding_dim {config.embedding_dim} and embed_dim"
          f" {config.embed_dim}: make them equal, or set tied=False"
      )
    self.encoder = ENCODERS[name][0](config, rngs=rngs)
    self.head = (
        None
        if tied
        else ItemHead(config.vocab_size, config.embed_dim, rngs=rngs)
    )
    self.num_special = num_special
    self.from_end = from_end

  def __call__(
      self,
      batch: Mapping[str, jax.Array],
      offsets: jax.Array | None = None,
      *,
      deterministic: bool = True,
      rngs: nnx.Rngs | None = None,
  ) -> dict[str, Any]:
    """The logits of the next item as factors, while training.

    Args:
      batch: see `Encoder.encode`; the last event of each sequence is there to
        be predicted alone.
      offsets: [batch, n] row offsets where items are predicted; None is
        everywhere.
      deterministic: no dropout.
      rngs: stream `dropout`, for training.

    Returns:
      `hidden` [batch, n, embed_dim], `table` [vocab_size, embed_dim] and
      `bias` [vocab_size], see `objectives.cross_entropy`.
    """
    hidden = self.encoder.encode(
        self._placed(batch, behind=1),
        offsets,
        deterministic=deterministic,
        rngs=rngs,
    )
    table = self.table()
    token = jnp.arange(len(table))
    bias = jnp.where(token < self.num_special, _NEVER, 0.0)
    return {"hidden": hidden, "table": table, "bias": bias}

  def user_vectors(
      self, batch: Mapping[str, jax.Array], last: jax.Array
  ) -> jax.Array:
    """[batch, 1] offset of each row's last event -> [batch, embed_dim]."""
    placed = self._placed(batch, behind=0)
    return self.encoder.encode(placed, last)[:, 0].astype(jnp.float32)

  def table(self) -> jax.Array:
    """[vocab_size, embed_dim] float32; items follow the special tokens."""
    if self.head is not None:
      return self.head.table[...]
    return self.encoder.embed.token.embedding[...]

  def _placed(
      self, batch: Mapping[str, jax.Array], *, behind: int
  ) -> Mapping[str, jax.Array]:
    if not self.from_end:
      return batch
    places = jnp.maximum(places_from_end(batch["segment_ids"]) - behind, 0)
    return {**batch, "places": places}


def places_from_end(segment_ids: jax.Array) -> jax.Array:
  """[batch, length] -> tokens of the same segment behind each one."""
  length = segment_ids.shape[1]
  here = jnp.arange(length, dtype=jnp.int32)
  following = jnp.pad(segment_ids[:, 1:], ((0, 0), (0, 1)), constant_values=-1)
  ends = jnp.where(segment_ids != following, here, length)
  return jax.lax.cummin(ends, axis=1, reverse=True) - here
