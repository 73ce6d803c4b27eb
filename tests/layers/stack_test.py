"""The ways to run a stack give the same values and gradients."""

import functools

from flax import nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.common.rows import take_rows_or_all
from behavior_lm.layers.stack import for_layer
from behavior_lm.layers.stack import REMAT
from behavior_lm.layers.stack import run_stack
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model

WIDTH = 8


class Layer(nnx.Module):
  """Adds a nonlinear map and a number; `kind` makes its program differ."""

  def __init__(self, kind, rngs):
    self.kind = kind
    self.linear = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
    self.dropout = nnx.Dropout(0.5)

  def __call__(self, hidden, *, shift, deterministic, rngs, offsets=None):
    bend = jnp.tanh if self.kind == 0 else jnp.sin
    out = take_rows_or_all(bend(self.linear(hidden)) + shift, offsets)
    out = self.dropout(out, deterministic=deterministic, rngs=rngs)
    return take_rows_or_all(hidden, offsets) + out


def make(kinds):
  return [Layer(kind, nnx.Rngs(n)) for n, kind in enumerate(kinds)]


def value_and_gradients(layers, key, then=lambda x: x, **options):
  """Of the squared sum of states, in the parameters and the input.

  `then` says which states."""
  split = [nnx.split(layer, nnx.Param) for layer in layers]

  def loss(params, hidden):
    merged = [
        nnx.merge(program, own)
        for (program, _), own in zip(split, params, strict=True)
    ]
    out = run_stack(
        merged, hidden, shift=jnp.float32(0.3), dropout_key=key, **options
    )
    return (then(out) ** 2).sum()

  hidden = jax.random.normal(jax.random.key(1), (2, 3, WIDTH))
  params = [own for _, own in split]
  return jax.jit(jax.value_and_grad(loss, (0, 1)))(params, hidden)


STACKS = {
    "alike": ([0] * 4, 4),
    "shared": ([0], 5),
    "alternating": ([0, 1, 0, 1], 4),
    "period and rest": ([0, 1, 1, 0, 1, 1, 0], 7),
    "no period": ([0, 0, 1], 3),
    "not to the end": ([0] * 4, 3),
    "none": ([0] * 2, 0),
}
# Without either, the program is the plain one.
WAYS = [
    (remat, scan)
    for remat in sorted(REMAT)
    for scan in (False, True)
    if remat != "none" or scan
]


@functools.cache
def plain_run(stack, seed):
  kinds, depth = STACKS[stack]
  key = None if seed is None else jax.random.key(seed)
  return value_and_gradients(make(kinds), key, depth=depth)


# All stacks one way, and all ways with one stack; once without dropout.
@pytest.mark.parametrize(
    ("stack", "seed", "remat", "scan"),
    [
        *((name, 3, "dots", True) for name in STACKS),
        *(("no period", 3, *way) for way in WAYS if way != ("dots", True)),
        ("no period", None, "full", True),
    ],
)
def test_scan_and_remat_change_no_result(stack, seed, remat, scan):
  kinds, depth = STACKS[stack]
  layers = make(kinds)
  key = None if seed is None else jax.random.key(seed)
  plain = plain_run(stack, seed)
  other = value_and_gradients(layers, key, depth=depth, remat=remat, scan=scan)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
      plain,
      other,
  )


@pytest.mark.parametrize(
    ("stack", "remat", "scan"),
    [
        *((name, "full", True) for name in STACKS),
        ("not to the end", "none", False),
        ("not to the end", "dots", False),
    ],
)
def test_some_states_are_those_of_all(stack, remat, scan):
  kinds, depth = STACKS[stack]
  layers, at = make(kinds), jnp.asarray([[2, 0], [1, 1]])
  options = dict(depth=depth, remat=remat, scan=scan)
  want = value_and_gradients(
      layers, None, then=lambda x: take_rows_or_all(x, at), **options
  )
  got = value_and_gradients(layers, None, offsets=at, **options)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
      got,
      want,
  )


@pytest.mark.slow
def test_layers_drop_differently():
  """Each layer's dropout has a key of its own."""
  shared = make([0])
  hidden = jnp.ones((1, 64, WIDTH))
  run = lambda depth: run_stack(
      shared,
      hidden,
      depth=depth,
      dropout_key=jax.random.key(0),
      shift=jnp.float32(5.0),
  )
  first = run(1) - hidden != 0
  second = run(2) - run(1) != 0
  # The first of two keys is that of one layer: what differs is the second's.
  assert 0.4 < first.mean() < 0.6 and 0.4 < second.mean() < 0.6
  assert (first != second).any()


def layer_bodies(depth, **options):
  """How often the nonlinearity stands in the program."""
  layers = make([0] * depth)
  run = lambda x: run_stack(
      layers, x, depth=depth, shift=jnp.float32(0.0), **options
  )
  return str(jax.make_jaxpr(run)(jnp.ones((1, 2, WIDTH)))).count("tanh")


def test_a_scanned_stack_holds_one_body():
  assert layer_bodies(12) == 12
  assert layer_bodies(12, scan=True) == 1
  # And the last layer, where only some states are wanted.
  at = jnp.asarray([[0]])
  assert layer_bodies(12, scan=True, offsets=at) == 2
  assert layer_bodies(12, offsets=at) == 12


def test_an_unknown_policy_is_named():
  with pytest.raises(ValueError, match=r"remat 'all'.*\['dots', 'full', 'n"):
    run_stack(make([0]), jnp.ones((1, 1, WIDTH)), depth=1, remat="all")


def test_one_setting_serves_all_layers_or_each_has_its_own():
  assert for_layer(7, 3, "window_size", 4) == 7
  assert for_layer((1, 2), 1, "window_size", 2) == 2
  for num_layers in (1, 3):
    with pytest.raises(ValueError, match=r"window_size \(1, 2\) has 2 values"):
      for_layer((1, 2), 0, "window_size", num_layers)


class Count(nnx.Variable):
  """Counts calls."""


class Counting(Layer):
  """Changes a variable that is no parameter when it is called."""

  def __init__(self, kind, rngs):
    super().__init__(kind, rngs)
    self.calls = Count(jnp.zeros(()))

  def __call__(self, hidden, **inputs):
    self.calls[...] = self.calls[...] + 1
    return super().__call__(hidden, **inputs) + 0 * self.calls[...]


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("remat", sorted(REMAT))
@pytest.mark.parametrize(
    ("kinds", "depth", "want"),
    [([0, 1, 0, 1, 0], 5, [1] * 5), ([0], 4, [4]), ([0] * 4, 3, [1, 1, 1, 0])],
)
def test_variables_that_are_no_parameters_are_as_the_last_call_left_them(
    kinds, depth, want, scan, remat
):
  layers = nnx.List([Counting(k, nnx.Rngs(n)) for n, k in enumerate(kinds)])
  graphdef, params, rest = split_model(layers)

  @jax.jit
  def run(params, rest):
    def loss(params):
      merged = merge_model(graphdef, params, rest)
      out = run_stack(
          merged,
          jnp.ones((1, 2, WIDTH)),
          depth=depth,
          scan=scan,
          remat=remat,
          shift=jnp.float32(0.0),
      )
      return (out**2).sum(), split_model(merged)[2]

    return jax.grad(loss, has_aux=True)(params)

  _, after = run(params, rest)
  assert [float(x) for x in jax.tree.leaves(after)] == want
