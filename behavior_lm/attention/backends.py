"""One entry to every attention: which implementation runs where."""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax

from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.hashing import Buckets
from behavior_lm.attention.hashing import check_buckets
from behavior_lm.attention.hashing import default_buckets
from behavior_lm.attention.hashing import draw_rotations
from behavior_lm.attention.hashing import hash_vectors
from behavior_lm.attention.lsh import lsh_attention
from behavior_lm.attention.sliding_window import GlobalProjections
from behavior_lm.attention.sliding_window import sliding_window_attention

# Rotations of LSH where no random key is given, so at evaluation.
FIXED_SEED = 0


@dataclasses.dataclass(frozen=True)
class AttentionSpec:
  """What a layer attends to.

  Attributes:
    kind: key of `KERNELS`.
    causal: a token sees no later token.
    backend: which implementation, a key of the kind's table in `KERNELS`;
      "auto" takes the first.
    window_size: sliding_window: keys on each side.
    dilation: sliding_window: offsets from one key to the next.
    max_globals: sliding_window: global tokens in a row at most; 0 is none.
    num_hashes: lsh: rounds of hashing.
    chunk_size: lsh: tokens in a chunk.
    num_buckets: lsh: one even number, or two whose product counts; None takes
      a number that fits the length.
    faithful: lsh: as the authors' code where it differs from the paper.

  Raises:
    ValueError: for a choice that no kernel serves.
  """

  kind: str = "dense"
  causal: bool = False
  backend: str = "auto"
  window_size: int = 0
  dilation: int = 1
  max_globals: int = 0
  num_hashes: int = 2
  chunk_size: int = 64
  num_buckets: Buckets | None = None
  faithful: bool = False

  def __post_init__(self) -> None:
    if self.kind not in KERNELS:
      raise ValueError(
          f"attention kind {self.kind!r}; known are {sorted(KERNELS)}"
      )
    backends = sorted(KERNELS[self.kind])
    if self.backend not in ("auto", *backends):
      raise ValueError(
          f"no backend {self.backend!r} for attention {self.kind!r}; it runs on"
          f" {backends}, and 'auto' chooses"
      )
    self._check_ownership()
    if self.kind == "sliding_window" and self.window_size < 1:
      raise ValueError(
          f"window_size {self.window_size}: a sliding window needs at least 1"
          " key on each side; set window_size, or kind 'dense' for all keys"
      )
    for name, least in _LEAST.items():
      if getattr(self, name) < least:
        raise ValueError(
            f"{name} {getattr(self, name)} must be at least {least}"
        )
    if self.num_buckets is not None:
      check_buckets(self.num_buckets)

  def _check_ownership(self) -> None:
    """A setting of another kind would be ignored: it is refused."""
    for field in dataclasses.fields(self):
      owner = _OWNERS.get(field.name, self.kind)
      if owner != self.kind and getattr(self, field.name) != field.default:
        raise ValueError(
            f"{field.name}={getattr(self, field.name)} is of attention"
            f" {owner!r} and means nothing for {self.kind!r}: leave it out, or"
            f" set kind={owner!r}"
        )


_LEAST = dict(dilation=1, max_globals=0, num_hashes=1, chunk_size=1)
_OWNERS = dict(
    window_size="sliding_window",
    dilation="sliding_window",
    max_globals="sliding_window",
    num_hashes="lsh",
    chunk_size="lsh",
    num_buckets="lsh",
    faithful="lsh",
)


def attend(
    query: jax.Array,
    key: jax.Array | None,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    positions: jax.Array,
    spec: AttentionSpec,
    key_rng: jax.Array | None = None,
    global_tokens: jax.Array | None = None,
    global_projections: GlobalProjections | None = None,
) -> jax.Array:
  """Attention within segments.

  Args:
    query, key, value: [batch, length, num_heads, head_dim]; key is None for
      LSH, whose keys are the queries.
    segment_ids: [batch, length] int32 from 0, 0 marks padding.
    positions: [batch, length] int32 within the segment, rising with the offset.
    spec: what the layer attends to.
    key_rng: random key of LSH's rotations; without one they are the same in
      every call, as evaluation needs.
    global_tokens: [batch, length] bool, for a sliding window with max_globals;
      None makes it each segment's first token.
    global_projections: what global tokens attend with, if not query, key and
      value.

  Returns:
    [batch, length, num_heads, head_dim]; rows of padding are zero.

  Raises:
    ValueError: if shapes disagree, or an argument means nothing to the kind.
  """
  has_globals = global_tokens is not None or global_projections is not None
  if has_globals and not spec.max_globals:
    raise ValueError(
        "global tokens or projections were given, but the spec allows none: set"
        " kind='sliding_window' and max_globals"
    )
  if spec.kind == "lsh" and key is not None:
    raise ValueError("LSH shares query and key: pass key=None")
  if spec.kind != "lsh" and key is None:
    raise ValueError(f"attention {spec.kind!r} needs a key")
  backends = KERNELS[spec.kind]
  name = next(iter(backends)) if spec.backend == "auto" else spec.backend
  return backends[name](
      query,
      key,
      value,
      segment_ids=segment_ids,
      positions=positions,
      spec=spec,
      key_rng=key_rng,
      global_tokens=global_tokens,
      global_projections=global_projections,
  )


def _dense(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    positions: jax.Array,
    spec: AttentionSpec,
    **_: Any,
) -> jax.Array:
  mask = segment_mask(segment_ids, positions=positions, causal=spec.causal)
  return dense_attention(query, key, value, mask=mask)


def _sliding_window(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    spec: AttentionSpec,
    global_tokens: jax.Array | None,
    global_projections: GlobalProjections | None,
    **_: Any,
) -> jax.Array:
  return sliding_window_attention(
      query,
      key,
      value,
      segment_ids=segment_ids,
      window_size=spec.window_size,
      dilation=spec.dilation,
      causal=spec.causal,
      global_tokens=global_tokens,
      max_globals=spec.max_globals,
      global_projections=global_projections,
  )


def _lsh(
    query: jax.Array,
    key: None,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    spec: AttentionSpec,
    key_rng: jax.Array | None,
    **_: Any,
) -> jax.Array:
  del key  # the queries are
  length, num_heads, head_dim = query.shape[1:]
  num_buckets = spec.num_buckets
  if num_buckets is None:
    num_buckets = default_buckets(length, spec.chunk_size)
  rotations = draw_rotations(
      jax.random.key(FIXED_SEED) if key_rng is None else key_rng,
      num_heads=num_heads,
      head_dim=head_dim,
      num_hashes=spec.num_hashes,
      num_buckets=num_buckets,
  )
  return lsh_attention(
      query,
      value,
      buckets=hash_vectors(query, rotations, num_buckets),
      segment_ids=segment_ids,
      chunk_size=spec.chunk_size,
      causal=spec.causal,
      faithful=spec.faithful,
  )


# Which implementation of a kind runs on which backend; "xla" is every device.
KERNELS: dict[str, dict[str, Callable[..., jax.Array]]] = {
    "dense": {"xla": _dense},
    "sliding_window": {"xla": _sliding_window},
    "lsh": {"xla": _lsh},
}
