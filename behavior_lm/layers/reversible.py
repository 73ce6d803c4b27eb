"""Residual layers whose inputs are computed again from their outputs.

RevNet (arXiv 1707.04585) as Reformer uses it (arXiv 2001.04451, section 3):
with two residual streams a layer can be undone, so that training keeps the
states of the last layer alone, however many layers there are; and of each layer
what it decided, such as the order of hashed tokens.
"""

from collections.abc import Callable, Sequence
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from behavior_lm.common.rows import take_rows
from behavior_lm.layers.stack import find_period
from behavior_lm.layers.stack import stack_trees


class Reversible(NamedTuple):
  """The two halves of a layer as pure functions.

  What a half draws at random follows from its key, so that the backward pass
  draws the same. Layers with the same program are the same object.

  Attributes:
    attention: (params, hidden, key, shared, memo) -> (out, memo). A memo holds
      what must not be decided anew when states come back rounded, such as the
      order of hashed tokens: None in the forward pass, which returns it for
      the backward one.
    feed_forward: (params, hidden, key) -> out.
  """

  attention: Callable[..., tuple[jax.Array, Any]]
  feed_forward: Callable[..., jax.Array]


class Halves(NamedTuple):
  """Parameters, or their gradients, or random keys of one layer."""

  attention: Any
  feed_forward: Any


class Streams(NamedTuple):
  """The two residual streams, [batch, length, embed_dim] float32 each."""

  first: jax.Array
  second: jax.Array


def plain_stack(
    layers: Sequence[Reversible],
    params: Sequence[Halves],
    keys: Sequence[Halves],
    shared: Any,
    streams: Streams,
    *,
    scan: bool = False,
) -> Streams:
  """y1 = x1 + attention(x2), y2 = x2 + feed_forward(y1), layer by layer.

  Args:
    layers: the halves; their norms are inside.
    params: of each layer; they and the streams take gradients.
    keys: of each layer, random keys or None.
    shared: what every attention gets, such as segment ids; no gradients.
    streams: what the first layer reads.
    scan: one compiled body for each period of equal layers; layers that fill
      no period follow unrolled.

  Raises:
    ValueError: if a stream is not float32: sums in bfloat16 cannot be undone.
      The halves may compute in any type.
  """
  _check(streams)
  period = find_period(layers) if scan else max(len(layers), 1)
  return _forward(
      tuple(layers), period, tuple(params), tuple(keys), shared, streams
  )[0]


def reversible_stack(
    layers: Sequence[Reversible],
    params: Sequence[Halves],
    keys: Sequence[Halves],
    shared: Any,
    streams: Streams,
) -> Streams:
  """As `plain_stack`, values and gradients, in the memory of few layers.

  The gradient computes each half once more; what it keeps of a layer is the
  memo. Inputs come back as (x + y) - y, so its rounding is another.

  Scanned where there are two periods of layers: in a program without the loop
  XLA delays the gradients of weights on CPU, and keeps all activations for
  them. So the memory is that of less than two periods, however deep it is.

  Args:
    layers, params, keys, shared, streams: see `plain_stack`.
  """
  _check(streams)
  layers = tuple(layers)
  return _stack(
      layers, find_period(layers), tuple(params), tuple(keys), shared, streams
  )


def last_layer(
    layers: Sequence[Reversible],
    params: Sequence[Halves],
    keys: Sequence[Halves],
    shared: dict[str, Any],
    streams: Streams,
    offsets: jax.Array,
) -> Streams:
  """A layer, or none, of which only some states are wanted.

  Args:
    layers, params, keys: of one layer, or empty.
    shared: what its attention gets besides `offsets`.
    streams: what it reads.
    offsets: [batch, n] row offsets.

  Returns:
    The streams there, [batch, n, embed_dim].
  """
  few = Streams(*(take_rows(stream, offsets) for stream in streams))
  shared = shared | {"offsets": offsets}
  for layer, own, key in zip(layers, params, keys, strict=True):
    few, _ = _run_layer(layer, own, key, shared, streams.second, few)
  return few


def _check(streams: Streams) -> None:
  if any(stream.dtype != jnp.float32 for stream in streams):
    raise ValueError(
        "residual streams must be float32, or layers cannot be undone; they"
        f" are {[str(stream.dtype) for stream in streams]}"
    )


def _run(
    layers: tuple[Reversible, ...],
    params: Sequence[Halves],
    keys: Sequence[Halves],
    shared: Any,
    streams: Streams,
) -> tuple[Streams, tuple[Any, ...]]:
  """The last states, and what each layer decided."""
  memos = []
  for layer, own, key in zip(layers, params, keys, strict=True):
    streams, memo = _run_layer(layer, own, key, shared, streams.second, streams)
    memos.append(memo)
  return streams, tuple(memos)


def _run_layer(
    layer: Reversible,
    own: Halves,
    key: Halves,
    shared: Any,
    seen: jax.Array,
    streams: Streams,
) -> tuple[Streams, Any]:
  """The next states of `streams`, whose attention sees `seen`; and the memo."""
  first, second = streams
  out, memo = layer.attention(
      own.attention, seen, key.attention, shared, None
  )
  first = first + out.astype(first.dtype)
  out = layer.feed_forward(own.feed_forward, first, key.feed_forward)
  return Streams(first, second + out.astype(second.dtype)), memo


def _undo(
    layers: tuple[Reversible, ...],
    params: Sequence[Halves],
    keys: Sequence[Halves],
    memos: Sequence[Any],
    shared: Any,
    states: tuple[Streams, Streams],
) -> tuple[tuple[Streams, Streams], tuple[Halves, ...]]:
  """From outputs and their cotangents to those of the inputs."""
  (first, second), (d_first, d_second) = states
  gradients: list[Halves] = []
  for layer, own, key, memo in reversed(
      list(zip(layers, params, keys, memos, strict=True))
  ):
    second, d_first, for_feed_forward = _undo_half(
        functools.partial(_feed, layer, key),
        own.feed_forward,
        (first, second),
        (d_first, d_second),
    )
    first, d_second, for_attention = _undo_half(
        functools.partial(_attend, layer, key, shared, memo),
        own.attention,
        (second, first),
        (d_second, d_first),
    )
    gradients.append(Halves(for_attention, for_feed_forward))
  last = Streams(first, second), Streams(d_first, d_second)
  return last, tuple(reversed(gradients))


def _feed(
    layer: Reversible, key: Halves, params: Any, hidden: jax.Array
) -> jax.Array:
  return layer.feed_forward(params, hidden, key.feed_forward)


def _attend(
    layer: Reversible,
    key: Halves,
    shared: Any,
    memo: Any,
    params: Any,
    hidden: jax.Array,
) -> jax.Array:
  return layer.attention(params, hidden, key.attention, shared, memo)[0]


def _undo_half(
    run: Callable[[Any, jax.Array], jax.Array],
    params: Any,
    states: tuple[jax.Array, jax.Array],
    cotangents: tuple[jax.Array, jax.Array],
) -> tuple[jax.Array, jax.Array, Any]:
  """Undoes after = before + run(params, hidden).

  Args:
    run: a half.
    params: its parameters.
    states: hidden, after.
    cotangents: of both.

  Returns:
    before; the cotangent of hidden; the gradients of the parameters.
  """
  (hidden, after), (d_hidden, d_after) = states, cotangents
  out, pull = jax.vjp(run, params, hidden)
  d_params, d_here = pull(d_after.astype(out.dtype))
  before = after - out.astype(after.dtype)
  # The barrier lets activations die before those of the next half are born.
  return jax.lax.optimization_barrier((before, d_hidden + d_here, d_params))


def _forward(
    layers: tuple[Reversible, ...],
    period: int,
    params: tuple[Halves, ...],
    keys: tuple[Halves, ...],
    shared: Any,
    streams: Streams,
) -> tuple[Streams, Any]:
  """The last states, and what `_backward` needs."""
  groups, rest = _groups(layers, period)
  scanned = None
  if groups > 1:
    body = lambda streams, xs: _run(
        layers[:period], xs[0], xs[1], shared, streams
    )
    stacked = tuple(_by_place(x, groups, period) for x in (params, keys))
    streams, scanned = jax.lax.scan(body, streams, stacked)
  streams, memos = _run(
      layers[rest:], params[rest:], keys[rest:], shared, streams
  )
  return streams, (params, keys, shared, scanned, memos, streams)


def _backward(
    layers: tuple[Reversible, ...], period: int, kept: Any, cotangents: Streams
) -> tuple[Any, None, None, Streams]:
  params, keys, shared, scanned, memos, streams = kept
  groups, rest = _groups(layers, period)
  states, gradients = _undo(
      layers[rest:],
      params[rest:],
      keys[rest:],
      memos,
      shared,
      (streams, cotangents),
  )
  if groups > 1:
    body = lambda states, xs: _undo(
        layers[:period], xs[0], xs[1], xs[2], shared, states
    )
    stacked = tuple(_by_place(x, groups, period) for x in (params, keys))
    states, by_place = jax.lax.scan(
        body, states, (*stacked, scanned), reverse=True
    )
    before = (
        _take(by_place[number % period], number // period)
        for number in range(rest)
    )
    gradients = (*before, *gradients)
  return gradients, None, None, states[1]


def _groups(layers: Sequence[Reversible], period: int) -> tuple[int, int]:
  """How many periods to scan, and how many layers that are."""
  groups = len(layers) // period
  return groups, groups * period if groups > 1 else 0


def _by_place(
    trees: Sequence[Any], groups: int, period: int
) -> tuple[Any, ...]:
  """Of the layers at each place in a period, stacked."""
  rows = trees[: groups * period]
  return tuple(
      stack_trees(rows[place::period]) for place in range(period)
  )


def _take(tree: Any, index: int) -> Any:
  """One layer's share of what is stacked."""
  return jax.tree.map(lambda x: x[index], tree)


_stack = jax.custom_vjp(
    lambda *args: _forward(*args)[0], nondiff_argnums=(0, 1)
)
_stack.defvjp(_forward, _backward)
