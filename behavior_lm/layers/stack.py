"""Running a stack of layers: one by one, scanned, or with less kept.

A stack's layers keep parameters of their own, whatever way they run, so that
checkpoints and exports do not depend on it.
"""

from collections.abc import Callable, Sequence
import functools
from typing import Any

from flax import nnx
import jax
import jax.numpy as jnp

from behavior_lm.common.rows import take_rows_or_all
from behavior_lm.layers.linear import PRODUCT

# What a layer keeps for the gradient; the rest is computed again.
REMAT: dict[str, Callable[..., Any]] = {
    # Everything.
    "none": lambda run: run,
    # Results of linear layers: no attention, norms, activations.
    "dots": functools.partial(
        jax.checkpoint,
        policy=jax.checkpoint_policies.save_only_these_names(PRODUCT),
    ),
    # The states between layers alone.
    "full": jax.checkpoint,
}


def run_stack(
    layers: Sequence[nnx.Module],
    hidden: jax.Array,
    *,
    depth: int,
    remat: str = "none",
    scan: bool = False,
    dropout_key: jax.Array | None = None,
    offsets: jax.Array | None = None,
    **inputs: jax.Array,
) -> jax.Array:
  """The states after `depth` layers.

  Args:
    layers: called as `layer(hidden, deterministic=, rngs=, **inputs)`; repeated
      in turn until `depth` is reached.
    hidden: [batch, length, embed_dim].
    depth: layers to run.
    remat: key of `REMAT`.
    scan: one compiled body for all layers of the same program, so that time
      to compile does not grow with depth. Where programs alternate, a body
      holds one period of them; there must be two periods at least, and layers
      that fill none follow unrolled.
    dropout_key: random key; None is no dropout.
    offsets: [batch, n] row offsets, if only those states are wanted: the last
      layer gets them, and follows unrolled.
    **inputs: the same for all layers.

  Returns:
    [batch, length or n, embed_dim].

  Raises:
    ValueError: if `remat` is unknown.
  """
  if remat not in REMAT:
    raise ValueError(f"remat {remat!r}; known are {sorted(REMAT)}")
  parts = [_split(layer) for layer in layers]
  places = [number % len(parts) for number in range(depth)]
  programs = [parts[place][0] for place in places]
  params = [parts[place][1] for place in places]
  # Variables that are no parameters, as the last call of each layer left them.
  rest = [part[2] for part in parts]
  if dropout_key is None:
    keys: Any = [None] * depth
  else:
    keys = jax.random.split(dropout_key, depth)

  def run_one(
      program: Any,
      hidden: jax.Array,
      own: Any,
      other: Any,
      key: jax.Array | None,
      **more: jax.Array,
  ) -> tuple[jax.Array, Any]:
    def run(
        hidden: jax.Array, own: Any, other: Any, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
      layer = nnx.merge(program, own, other)
      hidden = layer(
          hidden,
          deterministic=key is None,
          rngs=None if key is None else nnx.Rngs(dropout=key),
          **inputs,
          **more,
      )
      return hidden, _split(layer)[2]

    return REMAT[remat](run)(hidden, own, other, key)

  whole = depth if offsets is None else depth - 1
  period = find_period(programs[:whole])
  scanned = whole - whole % period if scan and whole >= 2 * period else 0
  if scanned:
    shared = len(parts) <= period
    every = [slice(place, scanned, period) for place in range(period)]

    def body(carry: Any, xs: Any) -> tuple[Any, Any]:
      hidden, kept = carry
      own, other, key = xs
      left = []
      for place in range(period):
        at = place % len(parts)
        hidden, new = run_one(
            programs[place],
            hidden,
            params[place] if shared else own[place],
            kept[at] if shared else other[place],
            None if dropout_key is None else key[place],
        )
        if shared:
          kept = [*kept[:at], new, *kept[at + 1 :]]
        left.append(new)
      return (hidden, kept), None if shared else left

    stacked = None if shared else [stack_trees(params[part]) for part in every]
    others = None if shared else [stack_trees(rest[part]) for part in every]
    keys_of = None if dropout_key is None else [keys[part] for part in every]
    (hidden, kept), left = jax.lax.scan(
        body,
        (hidden, rest if shared else []),
        (stacked, others, keys_of),
        length=scanned // period,
    )
    if shared:
      rest = kept
    else:
      for number in range(scanned):
        turn, place = divmod(number, period)
        rest[number] = jax.tree.map(lambda x, n=turn: x[n], left[place])
  for number in range(scanned, depth):
    last = number == depth - 1
    more = {} if offsets is None or not last else {"offsets": offsets}
    hidden, rest[places[number]] = run_one(
        programs[number],
        hidden,
        params[number],
        rest[places[number]],
        keys[number],
        **more,
    )
  for layer, state in zip(layers, rest, strict=True):
    nnx.update(layer, state)
  return take_rows_or_all(hidden, offsets) if depth == 0 else hidden


def _split(layer: nnx.Module) -> tuple[Any, Any, Any]:
  """Graph definition, parameters, other variables."""
  graphdef, *states = nnx.split(layer, nnx.Param, ...)
  params, rest = states
  return graphdef, params, rest


def find_period(programs: Sequence[Any]) -> int:
  """After how many layers equal programs repeat, at least 1."""
  depth = len(programs)
  for period in range(1, depth):
    if all(programs[i] == programs[i - period] for i in range(period, depth)):
      return period
  return max(depth, 1)


def stack_trees(trees: Sequence[Any]) -> Any:
  """What several layers have, with a leading axis for the layers."""
  return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def for_layer(
    value: int | Sequence[int], number: int, name: str, num_layers: int
) -> int:
  """A setting of layer `number`: one for all, or one a layer.

  Raises:
    ValueError: if there are more or fewer settings than layers.
  """
  if isinstance(value, int):
    return value
  if len(value) != num_layers:
    raise ValueError(
        f"{name} {tuple(value)} has {len(value)} values for {num_layers}"
        " layers: give one number for all layers, or one a layer"
    )
  return value[number]
