"""How many of the keys that matter LSH finds, by rounds and by the vectors."""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.hashing import default_buckets
from behavior_lm.attention.hashing import draw_rotations
from behavior_lm.attention.hashing import hash_vectors
from behavior_lm.attention.masks import bucket_mask
from experiments.studies.lsh.recall import top_key_recall

# {vectors: noise around their centres, in units of the centres' spread}. The
# cosine of two of a cluster is 1 / (1 + noise^2) on average.
VECTORS: dict[str, float | None] = {
    "clusters, cosine 0.94": 0.25,
    "clusters, cosine 0.80": 0.5,
    "random": None,
}


@dataclasses.dataclass(frozen=True)
class Setting:
  """One row of tokens and how it is hashed; buckets by length, as in training.

  Attributes:
    clusters: groups of vectors in a row, where there are any.
    top_k: best keys a token that should be found.
    rounds: most rounds of hashing.
  """

  length: int = 1024
  num_heads: int = 2
  head_dim: int = 64
  chunk_size: int = 64
  clusters: int = 64
  top_k: int = 8
  rounds: int = 8


def draw_vectors(
    key: jax.Array, noise: float | None, setting: Setting
) -> jax.Array:
  """[1, length, num_heads, head_dim]: normal, or around normal centres."""
  names, centres, around = jax.random.split(key, 3)
  shape = (1, setting.length, setting.num_heads, setting.head_dim)
  if noise is None:
    return jax.random.normal(around, shape)
  which = jax.random.randint(names, shape[:3], 0, setting.clusters)
  middle = jax.random.normal(centres, (setting.clusters, setting.head_dim))
  return middle[which] + noise * jax.random.normal(around, shape)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _measure(
    key: jax.Array, noise: float | None, setting: Setting
) -> tuple[jax.Array, jax.Array]:
  """Recall and share of all keys seen, each [rounds]."""
  key, of_rotations = jax.random.split(key)
  vectors = draw_vectors(key, noise, setting)
  num_buckets = default_buckets(setting.length, setting.chunk_size)
  rotations = draw_rotations(
      of_rotations,
      num_heads=setting.num_heads,
      head_dim=setting.head_dim,
      num_hashes=setting.rounds,
      num_buckets=num_buckets,
  )
  shared: dict[str, Any] = dict(
      segment_ids=jnp.ones((1, setting.length), jnp.int32),
      chunk_size=setting.chunk_size,
  )
  buckets = hash_vectors(vectors, rotations, num_buckets)
  recall = top_key_recall(
      vectors, buckets=buckets, top_k=setting.top_k, **shared
  )
  others = segment_mask(shared["segment_ids"]).sum() - setting.length
  seen = [
      bucket_mask(buckets[:, :, :n], **shared).sum() / setting.num_heads
      for n in range(1, setting.rounds + 1)
  ]
  return recall, jnp.stack(seen) / others


def study(
    seeds: Sequence[int], rounds: Sequence[int], setting: Setting
) -> list[dict[str, Any]]:
  """One dict for each kind of vectors and number of rounds.

  Args:
    seeds: each draws vectors and rotations of its own.
    rounds: which numbers of rounds to report.
    setting: the most rounds in it are those of the longest run.

  Returns:
    rows with `vectors`, `rounds`, and over the seeds `recall`, `low`, `high`,
    and the mean `keys_seen`, what a blind choice of as many keys would find.

  Raises:
    ValueError: if a number of rounds is not between 1 and the setting's, or
      there is no seed.
  """
  if not seeds or not all(1 <= n <= setting.rounds for n in rounds):
    raise ValueError(
        f"seeds {seeds}, rounds {rounds}: at least one seed, and rounds from 1"
        f" to {setting.rounds}"
    )
  rows = []
  for name, noise in VECTORS.items():
    runs = [_measure(jax.random.key(seed), noise, setting) for seed in seeds]
    recall, seen = (np.asarray(x, np.float64) for x in zip(*runs, strict=True))
    rows += [
        {
            "vectors": name,
            "rounds": n,
            "recall": recall[:, n - 1].mean(),
            "low": recall[:, n - 1].min(),
            "high": recall[:, n - 1].max(),
            "keys_seen": seen[:, n - 1].mean(),
        }
        for n in rounds
    ]
  return rows
