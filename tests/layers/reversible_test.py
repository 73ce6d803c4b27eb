import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.layers.reversible import Halves
from behavior_lm.layers.reversible import plain_stack
from behavior_lm.layers.reversible import Reversible
from behavior_lm.layers.reversible import reversible_stack
from behavior_lm.layers.reversible import Streams

WIDTH = 8


def dropped(key, x):
  if key is None:
    return x
  return jnp.where(jax.random.bernoulli(key, 0.7, x.shape), x / 0.7, 0)


def attention(params, hidden, key, shared, memo):
  """Mixes tokens, and decides something of them."""
  if memo is None:
    memo = jnp.argsort(hidden[..., 0], 1)
  hidden = hidden + jnp.take_along_axis(hidden, memo[..., None], 1)
  out = jnp.tanh(hidden @ params["kernel"]) * shared[..., None]
  return dropped(key, out), memo


def local(params, hidden, key, shared, memo):
  del memo
  hidden = hidden + jnp.roll(hidden, 1, 1)
  return dropped(key, jnp.sin(hidden @ params["kernel"] + params["bias"])), ()


def feed_forward(params, hidden, key):
  return dropped(key, jnp.tanh(hidden @ params["up"]) @ params["down"])


HASHED = Reversible(attention, feed_forward)
LOCAL = Reversible(local, feed_forward)


def make(layers, *, width=WIDTH, length=5, keyed=True, seed=0):
  rng = np.random.default_rng(seed)
  draw = lambda *shape: jnp.asarray(rng.standard_normal(shape) * 0.4, "float32")
  params = tuple(
      Halves(
          {"kernel": draw(width, width)}
          | ({"bias": draw(width)} if layer is LOCAL else {}),
          {"up": draw(width, 2 * width), "down": draw(2 * width, width)},
      )
      for layer in layers
  )
  keys = jax.random.split(jax.random.key(seed), (len(layers), 2))
  keys = tuple(
      Halves(*pair) if keyed else Halves(None, None) for pair in keys
  )
  shared = jnp.asarray(rng.random((2, length)) < 0.8, jnp.float32)
  return params, keys, shared, Streams(*draw(2, 2, length, width))


def values_and_gradients(run, layers, params, keys, shared, streams):
  # Unoptimised: compiled once for each case.
  @functools.partial(
      jax.jit, compiler_options={"xla_backend_optimization_level": 0}
  )
  def both(params, streams):
    out, pull = jax.vjp(
        lambda p, s: run(layers, p, keys, shared, s), params, streams
    )
    cotangents = jax.tree.map(
        lambda x: jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape),
        out,
    )
    return out, pull(cotangents)

  return both(params, streams)


def assert_close(got, want):
  """To 1e-5 of the largest number of each array."""
  assert jax.tree.structure(got) == jax.tree.structure(want)

  def check(got, want):
    scale = max(1, np.abs(want).max())
    np.testing.assert_allclose(got / scale, want / scale, atol=1e-5)

  jax.tree.map(check, got, want)


@pytest.mark.slow
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize(
    "layers",
    [
        [HASHED],
        [LOCAL] * 3,
        [LOCAL, HASHED, LOCAL, HASHED, LOCAL],
        [LOCAL, LOCAL, HASHED],
    ],
)
def test_values_and_gradients_are_those_of_the_plain_residuals(
    layers, keyed
):
  inputs = make(layers, keyed=keyed)
  got = values_and_gradients(reversible_stack, layers, *inputs)
  want = values_and_gradients(plain_stack, layers, *inputs)
  assert_close(got, want)
  scan = functools.partial(plain_stack, scan=True)
  assert_close(values_and_gradients(scan, layers, *inputs), want)
  jax.tree.map(lambda x: np.abs(x).max() > 0 or pytest.fail("idle"), want[1][0])


@pytest.mark.slow
def test_dropout_follows_the_keys():
  layers = [LOCAL, HASHED]
  params, keys, shared, streams = make(layers)
  run = lambda keys: reversible_stack(layers, params, keys, shared, streams)
  np.testing.assert_array_equal(run(keys).first, run(keys).first)
  other = make(layers, seed=1)[1]
  assert np.abs(run(keys).first - run(other).first).max() > 0.1


def test_what_was_decided_is_not_decided_anew():
  """Sorted anew from rounded states, equal values could change places."""
  seen = []

  def attend(params, hidden, key, shared, memo):
    seen.append(memo is None)
    return attention(params, hidden, key, shared, memo)

  layers = [Reversible(attend, feed_forward)]
  params, keys, shared, streams = make(layers)
  run = lambda p: reversible_stack(layers, p, keys, shared, streams)
  jax.jit(jax.grad(lambda p: run(p).first.sum()))(params)
  assert seen == [True, False]


def temp_bytes(run, depth):
  """Of a gradient's program, without the gradients themselves."""
  layers = [LOCAL] * depth
  params, keys, shared, streams = make(
      layers, width=32, length=512, keyed=False
  )
  grad = jax.jit(
      jax.grad(
          lambda p, s: run(layers, p, keys, shared, s).second.sum(), (0, 1)
      )
  )
  compiled = grad.lower(params, streams).compile()
  return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
def test_memory_does_not_grow_with_depth():
  states = 2 * 512 * 32 * 4
  parameters = (32 * 32 + 32 + 2 * 32 * 64) * 4
  growth = lambda run: temp_bytes(run, 12) - temp_bytes(run, 4)
  # The loop stacks parameters and gradients.
  assert growth(reversible_stack) < 8 * 2.5 * parameters < 8 * states
  assert growth(plain_stack) > 8 * states


@pytest.mark.slow
def test_a_scan_compiles_one_body():
  def count_products(depth):
    layers = [LOCAL, HASHED] * (depth // 2)
    params, keys, shared, streams = make(layers)
    run = lambda p: reversible_stack(layers, p, keys, shared, streams)
    grad = jax.jit(jax.grad(lambda p: run(p).second.sum()))
    return grad.lower(params).as_text().count("dot_general")

  assert count_products(4) == count_products(16) > 0


def test_streams_in_bfloat16_are_refused():
  layers = [LOCAL]
  params, keys, shared, streams = make(layers)
  streams = Streams(*(x.astype(jnp.bfloat16) for x in streams))
  for run in (plain_stack, reversible_stack):
    with pytest.raises(ValueError, match="must be float32"):
      run(layers, params, keys, shared, streams)
