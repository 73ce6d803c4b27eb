import dataclasses

from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.layers.experts.blocks import plan_blocks
from behavior_lm.layers.experts.moe import MoE
from behavior_lm.layers.experts.moe import MoEConfig
from behavior_lm.training.state import merge_model
from behavior_lm.training.state import split_model

# The fixtures of this file take seconds.
pytestmark = pytest.mark.slow

DIM, EXPERTS, ROWS = 8, 5, 4
CONFIG = MoEConfig(EXPERTS, top_k=2, mlp_dim=4, block_rows=ROWS, chunk=2)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 9, DIM)).astype(np.float32)
ROUTED = np.arange(9) < np.array([[9], [5]])
AHEAD = RNG.normal(size=X.shape).astype(np.float32)


def make(config=CONFIG):
  return MoE(
      DIM, config, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0)
  )


GRAPHDEF, PARAMS, REST = split_model(make())


def run(params, rest, x, routed):
  """Value and gradients, sparse and dense; variables after training."""

  def sparse(params, x):
    moe = merge_model(GRAPHDEF, params, rest)
    y = moe(x, routed, deterministic=False, rngs=None)
    return (y * AHEAD).sum(), (y, split_model(moe)[2])

  def dense(params, x):
    y = merge_model(GRAPHDEF, params, rest).dense(x, routed)
    return (y * AHEAD).sum(), y

  both = [
      jax.value_and_grad(f, (0, 1), has_aux=True)(params, x)
      for f in (sparse, dense)
  ]
  ((_, (y, left)), grads), ((_, want), want_grads) = both
  gates = merge_model(GRAPHDEF, params, rest).route(x).gates
  return y, grads, want, want_grads, left, gates


RUN = jax.jit(run)


@pytest.fixture(scope="module")
def found():
  return jax.tree.map(np.asarray, RUN(PARAMS, REST, X, ROUTED))


def check_equal(y, grads, want, want_grads):
  np.testing.assert_allclose(y, want, atol=1e-5)
  for got, right in zip(
      jax.tree.leaves(grads), jax.tree.leaves(want_grads), strict=True
  ):
    np.testing.assert_allclose(got, right, atol=2e-5)


def test_the_blocks_equal_every_expert_for_every_token(found):
  y, grads, want, want_grads, _, _ = found
  check_equal(y, grads, want, want_grads)
  assert all(np.abs(x).max() > 0 for x in jax.tree.leaves(grads))


def test_nothing_is_dropped_when_all_tokens_go_to_two_experts():
  params = PARAMS | {"router": jnp.zeros_like(PARAMS["router"])}
  y, grads, want, want_grads, left, gates = RUN(params, REST, X, ROUTED)
  check_equal(y, grads, want, want_grads)
  np.testing.assert_array_equal(
      left["balance"]["load"], [14, 14, 0, 0, 0]
  )
  np.testing.assert_allclose(gates, 0.5)


def test_the_bias_moves_by_exactly_its_rate(found):
  left = found[4]
  load = left["balance"]["load"]
  assert load.sum() == 2 * ROUTED.sum()
  assert len(set(load)) > 1
  want = np.float32(1e-3) * np.sign(load.mean() - load)
  np.testing.assert_array_equal(left["balance"]["bias"], want)


def test_the_bias_selects_and_is_not_among_the_gates():
  rest = jax.tree.map(jnp.copy, REST)
  rest["balance"]["bias"] = jnp.array([0.0, 0.0, 0.0, 9.0, 9.0])
  moe = merge_model(GRAPHDEF, PARAMS, rest)
  routing = moe.route(jnp.asarray(X))
  assert set(np.unique(routing.chosen)) == {3, 4}
  chosen = np.take_along_axis(
      np.asarray(routing.scores), np.asarray(routing.chosen), -1
  )
  want = chosen / chosen.sum(-1, keepdims=True)
  np.testing.assert_allclose(routing.gates, want, rtol=1e-6)


def test_padding_is_neither_routed_nor_counted(found):
  other = X + np.where(ROUTED, 0, 50)[..., None].astype(np.float32)
  y, *_, left, _ = RUN(PARAMS, REST, other, ROUTED)
  np.testing.assert_array_equal(
      left["balance"]["load"], found[4]["balance"]["load"]
  )
  np.testing.assert_array_equal(y[ROUTED], found[0][ROUTED])
  nothing = merge_model(GRAPHDEF, PARAMS, REST)
  alone = nothing.shared(jnp.asarray(X))
  np.testing.assert_allclose(
      found[0][~ROUTED], np.asarray(alone)[~ROUTED], atol=1e-6
  )


def flops(config):
  moe = make(config)
  graphdef, params, rest = split_model(moe)
  x = jax.ShapeDtypeStruct((1, 256, DIM), jnp.float32)
  routed = jax.ShapeDtypeStruct((1, 256), bool)

  def forward(params, x, routed):
    model = merge_model(graphdef, params, rest)
    return model(x, routed, deterministic=True, rngs=None)

  compiled = jax.jit(forward).lower(params, x, routed).compile()
  cost = compiled.cost_analysis()
  return (cost[0] if isinstance(cost, list) else cost)["flops"]


def test_operations_grow_with_k_and_not_with_the_number_of_experts():
  # All blocks in one product: XLA counts the body of a loop once.
  config = dataclasses.replace(
      CONFIG, num_experts=4, mlp_dim=32, shared=False, chunk=0
  )
  few = flops(config)
  many = flops(dataclasses.replace(config, num_experts=32))
  twice = flops(dataclasses.replace(config, top_k=4))
  assert many < 1.4 * few
  assert 1.8 < twice / few < 2.2


PLAN = jax.jit(plan_blocks, static_argnums=(2, 3))


@given(
    st.lists(
        st.tuples(
            st.permutations(range(EXPERTS)).map(lambda x: x[:2]),
            st.booleans(),
        ),
        min_size=7,
        max_size=7,
    )
)
def test_each_assignment_has_one_row_in_a_block_of_its_expert(tokens):
  chosen = np.array([x for x, _ in tokens], np.int32)
  routed = np.array([r for _, r in tokens])
  plan = jax.tree.map(np.asarray, PLAN(chosen, routed, EXPERTS, ROWS))
  number = chosen.size
  held = plan.sources[plan.sources < number]
  wanted = np.flatnonzero(np.repeat(routed, 2))
  assert sorted(held) == wanted.tolist()
  expert = np.repeat(plan.experts, ROWS)
  for row in np.flatnonzero(plan.sources < number):
    assignment = plan.sources[row]
    assert expert[row] == chosen.reshape(-1)[assignment]
    assert plan.slots.reshape(-1)[assignment] == row
  assert (plan.slots[~routed] == len(plan.sources)).all()
  np.testing.assert_array_equal(
      plan.counts, np.bincount(chosen[routed].reshape(-1), minlength=EXPERTS)
  )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top_k": 6}, "top_k is 6"),
        ({"balance": "luck"}, "balance 'luck'"),
        ({"gates": "softmax"}, "gates 'softmax'"),
        ({"block_rows": 0}, "block_rows is 0"),
    ],
)
def test_a_wrong_setting_is_refused(change, message):
  with pytest.raises(ValueError, match=message):
    make(dataclasses.replace(CONFIG, **change))
