import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.chunk_plan import make_plan
from behavior_lm.attention.chunk_plan import sum_seen
from behavior_lm.attention.chunk_plan import take
from behavior_lm.attention.chunk_plan import to_row
from behavior_lm.attention.hashing import sort_tokens

ROUNDS, LENGTH = 3, 12


def make(num_chunks, across_rounds):
  buckets = np.random.default_rng(0).integers(0, 5, (1, 2, ROUNDS, LENGTH))
  order = sort_tokens(
      jnp.asarray(buckets, jnp.int32), jnp.ones((1, LENGTH), jnp.int32)
  )
  return order, make_plan(order, num_chunks, across_rounds=across_rounds)


@pytest.mark.parametrize("across_rounds", [False, True])
@pytest.mark.parametrize("num_chunks", [2, 4])
def test_a_chunk_sees_the_one_before_and_itself(num_chunks, across_rounds):
  order, plan = make(num_chunks, across_rounds)
  size = LENGTH // num_chunks
  sorted_tokens = np.asarray(order.order[0, 1])
  for n, c in np.ndindex(ROUNDS, num_chunks):
    chunk = sorted_tokens[n, c * size : (c + 1) * size]
    back = n - 1 if across_rounds and c == 0 else n
    start = (c - 1) % num_chunks * size
    before = sorted_tokens[back, start : start + size]
    np.testing.assert_array_equal(plan.queries[0, 1, n, c], chunk)
    np.testing.assert_array_equal(plan.seen[0, 1, n, c], [*before, *chunk])


@pytest.mark.parametrize("across_rounds", [False, True])
@pytest.mark.parametrize("num_chunks", [1, 2, 4])
def test_gathers_are_the_gradients_of_gathers(num_chunks, across_rounds):
  _, plan = make(num_chunks, across_rounds)
  rng = np.random.default_rng(1)
  draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)
  x = draw(1, 2, LENGTH, 3)
  d_seen, d_queries = draw(*plan.seen.shape, 3), draw(*plan.queries.shape, 3)
  want = jax.vjp(lambda x: take(x, plan.seen), x)[1](d_seen)[0]
  np.testing.assert_allclose(sum_seen(d_seen, plan), want, atol=1e-5)
  want = jax.vjp(lambda x: take(x, plan.queries), x)[1](d_queries)[0]
  got, pull = jax.vjp(lambda g: to_row(g, plan), d_queries)
  np.testing.assert_allclose(got.sum(2), want, atol=1e-5)
  cotangent = draw(*got.shape)
  # A permutation: its gradient puts back what it took.
  np.testing.assert_allclose(
      to_row(pull(cotangent)[0], plan), cotangent, atol=1e-6
  )
