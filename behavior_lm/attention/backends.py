"""One entry to every attention: which implementation runs where.

Today: dense attention by XLA, everywhere. The sliding window, LSH and the
kernels of GPU and TPU join here.
"""

import dataclasses

import jax

from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.dense import segment_mask


@dataclasses.dataclass(frozen=True)
class AttentionSpec:
  """What a layer attends to.

  Attributes:
    kind: key of `KERNELS`.
    causal: a token sees no later token.
  """

  kind: str = "dense"
  causal: bool = False


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    positions: jax.Array,
    spec: AttentionSpec,
    key_rng: jax.Array | None = None,
) -> jax.Array:
  """Attention within segments.

  Args:
    query, key, value: [batch, length, num_heads, head_dim].
    segment_ids: [batch, length] int32, 0 marks padding.
    positions: [batch, length] int32 within the segment.
    spec: what the layer attends to.
    key_rng: random key of kernels that draw (LSH); others ignore it.

  Returns:
    [batch, length, num_heads, head_dim]; rows of padding are zero.

  Raises:
    ValueError: if the kind is unknown or shapes disagree.
  """
  if spec.kind not in KERNELS:
    raise ValueError(
        f"attention kind {spec.kind!r}; known are {sorted(KERNELS)}"
    )
  return KERNELS[spec.kind](
      query,
      key,
      value,
      segment_ids=segment_ids,
      positions=positions,
      spec=spec,
      key_rng=key_rng,
  )


def _dense(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    positions: jax.Array,
    spec: AttentionSpec,
    key_rng: jax.Array | None,
) -> jax.Array:
  del key_rng
  mask = segment_mask(segment_ids, positions=positions, causal=spec.causal)
  return dense_attention(query, key, value, mask=mask)


KERNELS = {"dense": _dense}
