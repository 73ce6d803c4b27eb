"""Hidden states of packed rows -> one vector per segment.

A segment is CLS and the tokens of one sequence. A pooling is a weighted mean
over the tokens of a segment, and says the weights; "max" alone is none. CLS
counts in "cls" alone. A segment that is not there, or has no tokens, is 0.
"""

from typing import Literal

from flax import nnx
import jax
import jax.numpy as jnp

# Below every score, within float32.
_NEVER = -1e30


class Pooling(nnx.Module):
  """What all poolings share; those without parameters need no more."""

  def __init__(self, embed_dim: int, *, rngs: nnx.Rngs):
    del embed_dim, rngs

  def __call__(
      self,
      hidden: jax.Array,
      segment_ids: jax.Array,
      positions: jax.Array,
      num_segments: int,
  ) -> jax.Array:
    """Pools each segment.

    Args:
      hidden: [batch, length, embed_dim].
      segment_ids: [batch, length] int32, 1 to num_segments; 0 is padding.
      positions: [batch, length] int32 in the segment; CLS is 0.
      num_segments: segments of a row at most.

    Returns:
      [batch, num_segments, embed_dim] float32.
    """
    number = jnp.arange(1, num_segments + 1)[:, None]
    inside = segment_ids[:, None] == number
    at_cls = positions[:, None] == 0
    return self.reduce(
        hidden.astype(jnp.float32), inside & ~at_cls, inside & at_cls
    )

  def reduce(
      self, hidden: jax.Array, tokens: jax.Array, cls: jax.Array
  ) -> jax.Array:
    """[b, l, d], masks [b, s, l] of tokens and of CLS -> [b, s, d]."""
    return jnp.matmul(self.weights(hidden, tokens, cls), hidden)

  def weights(
      self, hidden: jax.Array, tokens: jax.Array, cls: jax.Array
  ) -> jax.Array:
    """[batch, segments, length], of sum 1 in each segment."""
    raise NotImplementedError


class MeanPooling(Pooling):
  """The mean of all tokens."""

  def weights(
      self, hidden: jax.Array, tokens: jax.Array, cls: jax.Array
  ) -> jax.Array:
    del hidden, cls
    return _shares(tokens)


class ClsPooling(Pooling):
  """The state of CLS, where tokens follow it."""

  def weights(
      self, hidden: jax.Array, tokens: jax.Array, cls: jax.Array
  ) -> jax.Array:
    del hidden
    return (cls & tokens.any(-1, keepdims=True)).astype(jnp.float32)


class LastPooling(Pooling):
  """The mean of the last tokens: what a causal model knows in the end.

  Args:
    count: how many; all of a segment that has fewer.
  """

  def __init__(self, embed_dim: int, *, count: int = 1, rngs: nnx.Rngs):
    super().__init__(embed_dim, rngs=rngs)
    if count < 1:
      raise ValueError(f"count {count}: pool at least the last token")
    self.count = count

  def weights(
      self, hidden: jax.Array, tokens: jax.Array, cls: jax.Array
  ) -> jax.Array:
    del hidden, cls
    from_end = jnp.cumsum(tokens[..., ::-1], -1)[..., ::-1]
    return _shares(tokens & (from_end <= self.count))


class MaxPooling(Pooling):
  """The maximum of each coordinate over all tokens."""

  def reduce(
      self, hidden: jax.Array, tokens: jax.Array, cls: jax.Array
  ) -> jax.Array:
    del cls
    fixed = jax.lax.stop_gradient(hidden)
    # Where the maximum is, segment by segment: all at once would be
    # [batch, segments, length, embed_dim], and once more for the gradient.
    find = lambda mask: jnp.where(mask[..., None], fixed, _NEVER).argmax(1)
    at = jax.lax.map(find, tokens.swapaxes(0, 1)).swapaxes(0, 1)
    found = jnp.take_along_axis(hidden, at, 1)
    return jnp.where(tokens.any(-1)[..., None], found, 0.0)


class GaussianPooling(Pooling):
  """Attention by distance, with or without parameters.

  A token's state x_i weighs softmax_i(-|(x - x_i) w|^2 / (2 sqrt(embed_dim))),
  x being the mean of the segment: tokens near the middle count more. The
  square root is not in the formula as it stands (SYSTEMS.md, section 4):
  without it, a sum over hundreds of coordinates leaves one token.

  Args:
    weight: w: "none" is 1, "scalar" one number, "vector" one per coordinate;
      both are trained and start at 1.
    scaled: divide by the root of the width.
  """

  def __init__(
      self,
      embed_dim: int,
      *,
      weight: Literal["none", "scalar", "vector"] = "none",
      scaled: bool = True,
      rngs: nnx.Rngs,
  ):
    super().__init__(embed_dim, rngs=rngs)
    shapes = {"none": None, "scalar": (), "vector": (embed_dim,)}
    if weight not in shapes:
      raise ValueError(f"weight {weight!r}; known are {', '.join(shapes)}")
    shape = shapes[weight]
    self.weight = None if shape is None else nnx.Param(jnp.ones(shape))
    self.scale = embed_dim**-0.5 if scaled else 1.0

  def weights(
      self, hidden: jax.Array, tokens: jax.Array, cls: jax.Array
  ) -> jax.Array:
    del cls
    middle = jnp.matmul(_shares(tokens), hidden)
    # Each token meets the middle of its own segment.
    of_token = jnp.einsum("bsl,bsd->bld", tokens.astype(jnp.float32), middle)
    difference = hidden - of_token
    if self.weight is not None:
      difference = difference * self.weight[...]
    scores = -0.5 * self.scale * (difference**2).sum(-1)
    return _softmax(scores[:, None], tokens)


class QueryPooling(Pooling):
  """Attention to tokens by a query that is learned.

  softmax_i(q x_i / sqrt(head_dim)) in each head, which sees and pools
  coordinates of its own. Queries are born near 0: the mean, at first.

  Args:
    num_heads: queries; embed_dim must be a multiple.
  """

  def __init__(self, embed_dim: int, *, num_heads: int = 1, rngs: nnx.Rngs):
    super().__init__(embed_dim, rngs=rngs)
    if num_heads < 1 or embed_dim % num_heads:
      raise ValueError(
          f"embed_dim {embed_dim} is not divisible by num_heads {num_heads}"
      )
    head_dim = embed_dim // num_heads
    shape = (num_heads, head_dim)
    self.query = nnx.Param(0.02 * jax.random.normal(rngs.params(), shape))

  def reduce(
      self, hidden: jax.Array, tokens: jax.Array, cls: jax.Array
  ) -> jax.Array:
    del cls
    query = self.query[...]
    heads = hidden.reshape(*hidden.shape[:2], *query.shape)
    scores = jnp.einsum("blhd,hd->bhl", heads, query)
    scores = scores * query.shape[-1] ** -0.5
    weights = _softmax(scores[:, :, None], tokens[:, None])
    pooled = jnp.einsum("bhsl,blhd->bshd", weights, heads)
    return pooled.reshape(*pooled.shape[:2], -1)


POOLINGS: dict[str, type[Pooling]] = {
    "mean": MeanPooling,
    "cls": ClsPooling,
    "max": MaxPooling,
    "last": LastPooling,
    "gaussian": GaussianPooling,
    "query": QueryPooling,
}


def _shares(mask: jax.Array) -> jax.Array:
  """[..., length] bool -> equal weights of sum 1, or of 0 if there are none."""
  mask = mask.astype(jnp.float32)
  return mask / jnp.maximum(mask.sum(-1, keepdims=True), 1.0)


def _softmax(scores: jax.Array, mask: jax.Array) -> jax.Array:
  """Softmax over the last axis where `mask` is true; 0 elsewhere."""
  weights = jax.nn.softmax(jnp.where(mask, scores, _NEVER), -1)
  return jnp.where(mask, weights, 0.0)
