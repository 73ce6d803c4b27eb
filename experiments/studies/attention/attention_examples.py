"""What each attention sees in one small packed row, from the code's masks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.hashing import draw_rotations
from behavior_lm.attention.hashing import hash_vectors
from behavior_lm.attention.hashing import sort_tokens
from behavior_lm.attention.masks import bucket_mask
from behavior_lm.attention.masks import chunk_mask
from behavior_lm.attention.masks import global_mask
from behavior_lm.attention.masks import window_mask
from behavior_lm.attention.sliding_window import first_tokens
from behavior_lm.attention.spec import AttentionSpec

# Two segments and some padding: what packing makes of short sequences.
SEGMENTS = (32, 24)
PADDING = 4
ROUNDS = 4
KINDS_OF_EVENT = 7
NUM_BUCKETS = 8
CHUNK_SIZE = 6


@dataclasses.dataclass(frozen=True)
class Example:
  """One attention over the row.

  Attributes:
    title: what it is, in a few words.
    spec: of the layer.
    parts: {what lets a query see a key: [length, length] bool}, row by query;
      no pair is in two of them.
    buckets: [1, 1, rounds, length] int32, of LSH only.
    order: the token at each place, where they are not in their order.
  """

  title: str
  spec: AttentionSpec
  parts: dict[str, np.ndarray]
  buckets: jax.Array | None = None
  order: np.ndarray | None = None

  @property
  def mask(self) -> np.ndarray:
    """All parts together."""
    return np.any(list(self.parts.values()), axis=0)


def example_row() -> jax.Array:
  """Segment ids [1, length] of the row."""
  sizes = [*SEGMENTS, PADDING]
  return jnp.asarray(np.repeat([1, 2, 0], sizes)[None], jnp.int32)


def examples(seed: int = 0) -> list[Example]:
  """Every kind of attention; `seed` draws the events that LSH hashes."""
  ids = example_row()
  return [
      *_dense(ids),
      *_windows(ids),
      *_hashed(ids, seed),
  ]


def _pairs(mask: jax.Array) -> np.ndarray:
  return np.asarray(mask[0, 0])


def _dense(ids: jax.Array) -> list[Example]:
  offsets = jnp.arange(ids.shape[1])[None]
  causal = segment_mask(ids, positions=offsets, causal=True)
  return [
      Example(
          "dense", AttentionSpec(), {"same segment": _pairs(segment_mask(ids))}
      ),
      Example(
          "dense, causal",
          AttentionSpec(causal=True),
          {"same segment": _pairs(causal)},
      ),
  ]


def _windows(ids: jax.Array) -> list[Example]:
  found = []
  for title, dilation in (("window, 4 a side", 1), ("dilated window", 3)):
    spec = AttentionSpec("sliding_window", window_size=4, dilation=dilation)
    mask = window_mask(ids, 4, dilation=dilation)
    found.append(Example(title, spec, {"window": _pairs(mask)}))
  near = _pairs(window_mask(ids, 4))
  far = _pairs(global_mask(ids, first_tokens(ids)))
  found.append(
      Example(
          "window and global CLS",
          AttentionSpec("sliding_window", window_size=4, max_globals=2),
          {"window": near & ~far, "global": far},
      )
  )
  spec = AttentionSpec("chunked", chunk_size=CHUNK_SIZE)
  chunks = _pairs(chunk_mask(ids, CHUNK_SIZE))
  found.append(Example("chunks, one back", spec, {"chunks": chunks}))
  return found


def _hashed(ids: jax.Array, seed: int) -> list[Example]:
  """Tokens of a few kinds of event, which hashing finds again."""
  kinds, centres, noise, rotations = jax.random.split(jax.random.key(seed), 4)
  length, dim = ids.shape[1], 16
  which = jax.random.randint(kinds, (length,), 0, KINDS_OF_EVENT)
  vectors = jax.random.normal(centres, (KINDS_OF_EVENT, dim))[which]
  vectors += 0.3 * jax.random.normal(noise, (length, dim))
  drawn = draw_rotations(
      rotations,
      num_heads=1,
      head_dim=dim,
      num_hashes=ROUNDS,
      num_buckets=NUM_BUCKETS,
  )
  buckets = hash_vectors(vectors[None, :, None], drawn, NUM_BUCKETS)
  first, last = (
      _pairs(bucket_mask(buckets[:, :, :n], ids, chunk_size=CHUNK_SIZE))
      for n in (1, ROUNDS)
  )
  spec = lambda rounds: AttentionSpec(
      "lsh", num_hashes=rounds, chunk_size=CHUNK_SIZE, num_buckets=NUM_BUCKETS
  )
  once = buckets[:, :, :1]
  order = np.asarray(sort_tokens(once, ids).order[0, 0, 0])
  parts = {"round 1": first & last, f"by round {ROUNDS}": last & ~first}
  return [
      Example(
          "LSH, sorted by bucket",
          spec(1),
          {"round 1": first[order][:, order]},
          once,
          order,
      ),
      Example("LSH, 1 round", spec(1), {"round 1": first}, once),
      Example(f"LSH, {ROUNDS} rounds", spec(ROUNDS), parts, buckets),
  ]
