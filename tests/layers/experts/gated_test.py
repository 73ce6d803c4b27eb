from flax import nnx
import jax
import numpy as np
import pytest

from behavior_lm.layers.experts.gated import Cgc
from behavior_lm.layers.experts.gated import Mmoe
from behavior_lm.layers.experts.gated import Ple
from behavior_lm.layers.experts.gated import StackedMlp

INPUTS, TOWERS, GATE, BATCH = 5, 3, 2, 4
HIDDEN = (6, 4)
SIZES = dict(own_experts=2, shared_experts=3, hidden=HIDDEN, gate_inputs=GATE)


@pytest.fixture(scope="module")
def inputs():
  rng = np.random.default_rng(0)
  make = lambda width: rng.normal(size=(BATCH, width)).astype(np.float32)
  return make(INPUTS), make(GATE)


def softmax(x):
  e = np.exp(x - x.max())
  return e / e.sum()


def expert(stack, number, x):
  for kernel, bias in zip(stack.kernels, stack.biases, strict=True):
    x = np.maximum(x @ np.asarray(kernel)[number] + np.asarray(bias)[number], 0)
  return x


def gated(gates, number, x, experts):
  """A gate's mixture of experts for one row."""
  weights = softmax(x @ np.asarray(gates.kernel)[number])
  return weights @ np.stack(experts)


def cgc_oracle(layer, towers, shared, gate):
  """One row: [towers, inputs], [inputs], [gate] -> what follows."""
  own, count = layer.own_experts, layer.num_towers
  common = [expert(layer.shared, n, shared) for n in range(3)]
  all_own, out = [], []
  for tower in range(count):
    mine = [
        expert(layer.own, own * tower + n, towers[tower]) for n in range(own)
    ]
    all_own += mine
    read = np.concatenate([towers[tower], gate])
    out.append(gated(layer.gates, tower, read, mine + common))
  if layer.shared_gate is None:
    return out, None
  read = np.concatenate([shared, gate])
  return out, gated(layer.shared_gate, 0, read, all_own + common)


def run(module, *inputs):
  graph, state = nnx.split(module)
  return jax.jit(lambda state, *x: nnx.merge(graph, state)(*x))(state, *inputs)


def make_biases_count(module):
  for stack in [m for _, m in nnx.iter_graph(module)
                if isinstance(m, StackedMlp)]:
    for bias in stack.biases:
      bias[...] = 0.1 * jax.random.normal(jax.random.key(1), bias.shape)


@pytest.mark.slow
def test_mmoe_is_a_mixture_of_all_experts_for_each_tower(inputs):
  made = Mmoe(INPUTS, TOWERS, num_experts=2, hidden=HIDDEN, gate_inputs=GATE,
              rngs=nnx.Rngs(0))
  make_biases_count(made)
  x, gate = inputs
  want = [
      [
          gated(made.gates, tower, np.concatenate([x[row], gate[row]]),
                [expert(made.experts, n, x[row]) for n in range(2)])
          for tower in range(TOWERS)
      ]
      for row in range(BATCH)
  ]
  np.testing.assert_allclose(run(made, x, gate), want, atol=1e-5)
  plain = Mmoe(INPUTS, 1, num_experts=1, hidden=HIDDEN, rngs=nnx.Rngs(0))
  np.testing.assert_allclose(
      run(plain, x)[:, 0], [expert(plain.experts, 0, row) for row in x],
      atol=1e-5,
  )


@pytest.mark.slow
@pytest.mark.parametrize("num_layers", [1, 3])
def test_ple_is_cgc_upon_cgc(inputs, num_layers):
  made = Ple(INPUTS, TOWERS, num_layers=num_layers, rngs=nnx.Rngs(0), **SIZES)
  make_biases_count(made)
  x, gate = inputs
  want = []
  for row in range(BATCH):
    towers, shared = [x[row]] * TOWERS, x[row]
    for layer in made.layers:
      towers, shared = cgc_oracle(layer, towers, shared, gate[row])
    want.append(towers)
  assert made.layers[-1].shared_gate is None
  np.testing.assert_allclose(run(made, x, gate), want, atol=1e-5)


@pytest.mark.slow
def test_own_experts_take_the_gradient_of_their_tower_alone(inputs):
  made = Cgc(INPUTS, TOWERS, rngs=nnx.Rngs(0), **SIZES)
  graph, state = nnx.split(made)
  x, gate = inputs

  @jax.jit
  def gradient(state):
    def second(state):
      towers = np.repeat(x[:, None], TOWERS, 1)
      return (nnx.merge(graph, state)(towers, x, gate)[0][:, 1] ** 2).sum()

    return jax.grad(second)(state)

  found = gradient(state)
  own = np.asarray(found["own"]["kernels"][0][...])
  assert own[2:4].any() and not own[:2].any() and not own[4:].any()
  assert np.asarray(found["shared"]["kernels"][0][...]).any()


@pytest.mark.parametrize("changes, words", [
    (dict(own_experts=0, shared_experts=0), "at least one"),
    (dict(shared_experts=0, is_last=False), "needs shared experts"),
])
def test_a_layer_without_experts_is_refused(changes, words):
  with pytest.raises(ValueError, match=words):
    Cgc(INPUTS, TOWERS, rngs=nnx.Rngs(0), **(SIZES | changes))
  with pytest.raises(ValueError, match="at least 1"):
    Ple(INPUTS, TOWERS, num_layers=0, rngs=nnx.Rngs(0), **SIZES)
