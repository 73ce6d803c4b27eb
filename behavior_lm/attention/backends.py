"""One entry to every attention: which implementation runs where.

`KERNELS` is the table, `describe` prints it. "auto" is decided when a program
is traced, by the device that jax starts with: only there is a kernel for that
device traced at all. What is traced stays right on every other device, so the
same jitted program runs on a CPU beside the accelerator: there it is XLA's.
Programs that outlive their jax (jax.export) need backend="xla": a Pallas call
has no promise of compatibility.
"""

from collections.abc import Callable
import dataclasses
import functools
from typing import Any

import jax

from behavior_lm.attention import cudnn
from behavior_lm.attention import splash
from behavior_lm.attention.chunked import chunked_attention
from behavior_lm.attention.device import find_target
from behavior_lm.attention.device import Target
from behavior_lm.attention.hashing import Order
from behavior_lm.attention.lsh import lsh_attention
from behavior_lm.attention.sliding_window import sliding_window_attention
from behavior_lm.attention.spec import AttentionSpec
from behavior_lm.attention.tiled_dense import tiled_dense_attention
from behavior_lm.common.markdown import table


def _no_limit(*_: Any) -> str:
  return ""


@dataclasses.dataclass(frozen=True)
class Implementation:
  """One way to compute a kind of attention.

  Attributes:
    run: `attend` without its checks.
    serves: which layers and arrays, in words.
    proof: what has shown that it is right, in words.
    platform: the only one that runs it, as in `Target`; empty is every.
    few_queries: whether it takes `query_at`.
    spec_limit: what in an `AttentionSpec` it cannot do, in words, or "".
    call_limit: the same for a query and a `Target`.
  """

  run: Callable[..., jax.Array]
  serves: str
  proof: str
  platform: str = ""
  few_queries: bool = False
  spec_limit: Callable[[AttentionSpec], str] = _no_limit
  call_limit: Callable[
      [jax.Array | jax.ShapeDtypeStruct, Target], str
  ] = _no_limit


def attend(
    query: jax.Array,
    key: jax.Array | None,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    positions: jax.Array,
    spec: AttentionSpec,
    query_at: jax.Array | None = None,
    order: Order | None = None,
    global_tokens: jax.Array | None = None,
    global_outputs: jax.Array | None = None,
    since: jax.Array | None = None,
) -> jax.Array:
  """Attention within segments.

  Args:
    query, key, value: [batch, length, num_heads, head_dim]; key is None for
      LSH, whose keys are the queries. With `query_at` query is
      [batch, n, num_heads, head_dim].
    segment_ids: [batch, length] int32 from 0, 0 marks padding.
    positions: [batch, length] int32 within the segment, rising with the offset.
    spec: what the layer attends to.
    query_at: [batch, n] row offsets of the queries, where not all tokens ask;
      see `takes_few_queries`.
    order: for LSH: how hashing sorts the tokens, by `lsh.sort_into_chunks`.
    global_tokens: [batch, length] bool, for a sliding window with max_globals;
      None makes it each segment's first token.
    global_outputs: [batch, max_globals, num_heads, head_dim], what global
      tokens get where they attend with projections of their own; None lets
      them use query, key and value.
    since: [batch, length] int32, for dense causal attention: no token sees a
      position before this one; None is all.

  Returns:
    The shape of query; rows of padding are zero.

  Raises:
    ValueError: if shapes disagree, or an argument means nothing to the kind.
  """
  has_globals = global_tokens is not None or global_outputs is not None
  if has_globals and not spec.max_globals:
    raise ValueError(
        "global tokens or outputs were given, but the spec allows none: set"
        " kind='sliding_window' and max_globals"
    )
  if spec.kind == "lsh" and key is not None:
    raise ValueError("LSH shares query and key: pass key=None")
  if spec.kind != "lsh" and key is None:
    raise ValueError(f"attention {spec.kind!r} needs a key")
  if (spec.kind == "lsh") != (order is not None):
    raise ValueError(
        f"attention {spec.kind!r} {'needs an' if order is None else 'takes no'}"
        " order: it is of LSH, see `attention.lsh.sort_into_chunks`"
    )
  if since is not None and (spec.kind, spec.causal) != ("dense", True):
    raise ValueError(f"`since` is of dense causal attention, not of {spec}")
  # Judged by all queries of the rows, whether they are there or not: so does
  # who asks whether few may be given.
  whole = jax.ShapeDtypeStruct(
      (*value.shape[:2], *query.shape[2:]), query.dtype
  )
  if query_at is not None and not takes_few_queries(spec, whole):
    raise ValueError(
        f"query_at is not taken by {spec.kind!r} attention on this device:"
        " pass all queries and take of the result"
    )

  def by(name: str) -> Callable[..., jax.Array]:
    return functools.partial(
        KERNELS[spec.kind][name].run,
        segment_ids=segment_ids,
        positions=positions,
        spec=spec,
        query_at=query_at,
        order=order,
        global_tokens=global_tokens,
        global_outputs=global_outputs,
        since=since,
    )

  target = find_target()
  name = choose_backend(spec, whole, target)
  if since is not None:
    name = "xla"
  if name == "xla" or spec.backend != "auto":
    return by(name)(query, key, value)
  # What either path keeps for its gradient has a place in the program of both:
  # neither keeps scores.
  return jax.lax.platform_dependent(
      query,
      key,
      value,
      default=by("xla"),
      **{target.platform: by(name)},
  )


def choose_backend(
    spec: AttentionSpec,
    query: jax.Array | jax.ShapeDtypeStruct,
    target: Target,
) -> str:
  """The key in the kind's table that serves these arrays on this device.

  Args:
    spec: what the layer attends to, and which backend it asks for.
    query: [batch, length, num_heads, head_dim], or its ShapeDtypeStruct; all
      queries, also where few will be given.
    target: the device.

  Raises:
    ValueError: if the backend that is asked for cannot: why, and what can.
  """
  backends = KERNELS[spec.kind]
  if spec.backend not in ("auto", *backends):
    raise ValueError(
        f"no backend {spec.backend!r} for attention {spec.kind!r}; it runs on"
        f" {sorted(backends)}, and 'auto' chooses"
    )
  reasons = {
      name: _why_not(implementation, spec, query, target)
      for name, implementation in backends.items()
  }
  serves = next(name for name, reason in reasons.items() if not reason)
  if spec.backend == "auto":
    return serves
  if reasons[spec.backend]:
    raise ValueError(
        f"backend {spec.backend!r} cannot run this {spec.kind} attention:"
        f" {reasons[spec.backend]}; {serves!r} can, and 'auto' takes it"
    )
  return spec.backend


def takes_few_queries(
    spec: AttentionSpec, query: jax.Array | jax.ShapeDtypeStruct
) -> bool:
  """Whether `attend` takes `query_at` on this device.

  Args:
    spec, query: see `choose_backend`.
  """
  name = choose_backend(spec, query, find_target())
  return KERNELS[spec.kind][name].few_queries


def describe() -> str:
  """The table of implementations in Markdown."""
  return table(
      ["attention", "backend", "device", "serves", "proof"],
      [
          [kind, name, this.platform or "every", this.serves, this.proof]
          for kind, backends in KERNELS.items()
          for name, this in backends.items()
      ],
  )


def _why_not(
    implementation: Implementation,
    spec: AttentionSpec,
    query: jax.Array | jax.ShapeDtypeStruct,
    target: Target,
) -> str:
  """What keeps an implementation from serving a call; empty if nothing."""
  platform = implementation.platform
  if platform and platform != target.platform:
    return f"it runs on {platform}, and this is {target.platform}"
  limit = implementation.spec_limit(spec)
  return limit or implementation.call_limit(query, target)


def _splash(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    spec: AttentionSpec,
    **_: Any,
) -> jax.Array:
  return splash.splash_attention(
      query,
      key,
      value,
      segment_ids=segment_ids,
      causal=spec.causal,
      window_size=spec.window_size or None,
  )


def _cudnn(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    spec: AttentionSpec,
    **_: Any,
) -> jax.Array:
  return cudnn.cudnn_attention(
      query, key, value, segment_ids=segment_ids, causal=spec.causal
  )


def _dense(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    positions: jax.Array,
    spec: AttentionSpec,
    query_at: jax.Array | None,
    since: jax.Array | None,
    **_: Any,
) -> jax.Array:
  return tiled_dense_attention(
      query,
      key,
      value,
      segment_ids=segment_ids,
      positions=positions,
      causal=spec.causal,
      query_at=query_at,
      since=since,
  )


def _sliding_window(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    spec: AttentionSpec,
    global_tokens: jax.Array | None,
    global_outputs: jax.Array | None,
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
      global_outputs=global_outputs,
  )


def _lsh(
    query: jax.Array,
    key: None,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    spec: AttentionSpec,
    order: Order,
    **_: Any,
) -> jax.Array:
  del key  # the queries are
  return lsh_attention(
      query,
      value,
      order=order,
      segment_ids=segment_ids,
      chunk_size=spec.chunk_size,
      causal=spec.causal,
      faithful=spec.faithful,
  )


def _chunked(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    *,
    segment_ids: jax.Array,
    spec: AttentionSpec,
    **_: Any,
) -> jax.Array:
  return chunked_attention(
      query,
      key,
      value,
      segment_ids=segment_ids,
      chunk_size=spec.chunk_size,
      causal=spec.causal,
  )


_ON_CPU = "every test of the kernel, on CPU"
_SPLASH = Implementation(
    run=_splash,
    platform="tpu",
    serves="full or causal; float32, bfloat16; one device",
    spec_limit=splash.spec_limit,
    call_limit=splash.call_limit,
    proof=(
        "lowered for a TPU, and interpreted on CPU: masks, values, gradients;"
        " no TPU has run it"
    ),
)
# In each kind's table the fastest come first, and "xla" serves every device.
KERNELS: dict[str, dict[str, Implementation]] = {
    "dense": {
        "splash": _SPLASH,
        "cudnn": Implementation(
            run=_cudnn,
            platform="cuda",
            serves=(
                "full or causal; bfloat16, float16; head_dim a multiple of 8"
                " up to 128; Ampere or later"
            ),
            call_limit=cudnn.call_limit,
            proof=(
                "unproven: no GPU has run it; its mask and padding on CPU"
            ),
        ),
        "xla": Implementation(
            run=_dense, serves="all", proof=_ON_CPU, few_queries=True
        ),
    },
    "sliding_window": {
        "splash": dataclasses.replace(
            _SPLASH,
            serves="no global tokens, no dilation; " + _SPLASH.serves,
        ),
        "xla": Implementation(run=_sliding_window, serves="all", proof=_ON_CPU),
    },
    "lsh": {"xla": Implementation(run=_lsh, serves="all", proof=_ON_CPU)},
    "chunked": {
        "xla": Implementation(run=_chunked, serves="all", proof=_ON_CPU)
    },
}
