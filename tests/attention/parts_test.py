import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.parts import attend_part
from behavior_lm.attention.parts import join_parts
from behavior_lm.attention.parts import mask_bias
from behavior_lm.attention.parts import SCORES_AT_ONCE


def draw(*shapes, seed=0):
  rng = np.random.default_rng(seed)
  return [jnp.asarray(rng.standard_normal(x), jnp.float32) for x in shapes]


def plain(query, key, value, bias):
  """The formula, for jax to differentiate."""
  scores = jnp.einsum("...qd,...kd->...qk", query, key) + bias
  log_total = jax.nn.logsumexp(scores, -1, keepdims=True)
  weights = jnp.exp(scores - log_total)
  return jnp.einsum("...qk,...kd->...qd", weights, value), log_total


def assert_same(shape, bias_shape, queries, keys):
  """Values and gradients of `attend_part` are those of the formula."""
  query, key, value, cot_out, cot_log, noise = draw(
      (*shape, queries, 8),
      (*shape, keys, 8),
      (*shape, keys, 4),
      (*shape, queries, 4),
      (*shape, queries, 1),
      (*bias_shape, queries, keys),
  )
  bias = mask_bias(noise > -0.5)
  found = []
  for run in (attend_part, plain):
    program = jax.jit(
        lambda q, k, v, *cot, run=run: (
            jax.vjp(lambda *x: run(*x, bias), q, k, v)[1](cot),
            run(q, k, v, bias),
        )
    )
    found.append(program(query, key, value, cot_out, cot_log))
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), *found
  )


def test_a_part_is_the_softmax_and_its_denominator():
  assert_same((2, 3, 4), (2, 1, 4), 5, 7)


@pytest.mark.parametrize("blocks", [4, 6, 7])
@pytest.mark.parametrize("lead", [(2, 1), (2, 2)])
def test_blocks_in_turn_are_the_blocks_at_once(blocks, lead):
  assert lead[0] * 2 * blocks * 256 * 200 > SCORES_AT_ONCE
  assert_same((2, 2, blocks), (*lead, blocks), 256, 200)


def test_few_scores_are_in_memory_at_a_time():
  x = jax.ShapeDtypeStruct((1, 64, 256, 8), jnp.float32)
  bias = jax.ShapeDtypeStruct((1, 64, 256, 256), jnp.float32)
  compiled = jax.jit(attend_part).lower(x, x, x, bias).compile()
  all_scores = 64 * 256 * 256 * 4
  assert compiled.memory_analysis().temp_size_in_bytes < all_scores / 2


def test_joined_parts_are_attention_to_all_keys():
  query, key, value = draw((2, 3, 4, 8), (2, 3, 9, 8), (2, 3, 9, 8))
  bias = jnp.zeros((2, 3, 4, 9)).at[0, 0, 1, :5].set(-1e30)
  parts = [
      attend_part(query, key[:, :, cut], value[:, :, cut], bias[..., cut])
      for cut in (slice(0, 5), slice(5, 6), slice(6, 9))
  ]
  got = join_parts(*zip(*parts, strict=True))
  want, _ = plain(query, key, value, bias)
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_query_without_keys_has_finite_values_and_gradients():
  query, key, value = draw((1, 1, 2, 4), (1, 1, 3, 4), (1, 1, 3, 4))
  bias = mask_bias(jnp.zeros((1, 1, 2, 3), bool))
  out, pull = jax.vjp(lambda *x: attend_part(*x, bias), query, key, value)
  for x in (*out, *pull((jnp.zeros_like(out[0]), jnp.zeros_like(out[1])))):
    assert np.isfinite(x).all()
