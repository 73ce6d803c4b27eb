from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.dense import dense_attention
from behavior_lm.layers.position_encoding import rotate
from behavior_lm.layers.relative_time import make_clock
from behavior_lm.layers.relative_time import phases
from behavior_lm.layers.relative_time import split_name
from behavior_lm.layers.relative_time import TimeBias

YEAR = 365 * 864_000  # in units of 100 ms
HEADS, DIM = 2, 8


@given(st.lists(st.integers(-1, 2**31 - 1), min_size=1, max_size=9))
def test_phases_are_those_of_the_sum_of_shown_gaps(gaps):
  clock = make_clock(jnp.asarray([gaps], jnp.int32))
  total = sum(max(gap, 0) for gap in gaps)
  angles = np.asarray(phases(clock, 15))[0, -1]
  periods = [2**exponent for exponent in range(2, 31, 2)]
  expected = [2 * np.pi * (total % period) / period for period in periods]
  np.testing.assert_allclose(angles, expected, rtol=1e-5, atol=1e-6)


def arrays(seed, length):
  rng = np.random.default_rng(seed)
  shape = (3, 1, length, HEADS, DIM)
  return [jnp.asarray(x, jnp.float32) for x in rng.normal(size=shape)]


def test_the_bias_is_a_series_in_the_time_from_key_to_query():
  query, key, value = arrays(0, 5)
  layer = TimeBias(HEADS, DIM)
  rng = np.random.default_rng(1)
  layer.even[...] = rng.normal(size=layer.even.shape)
  layer.odd[...] = rng.normal(size=layer.odd.shape)
  clock = jnp.asarray([[0, 7, 7, 30_000, YEAR]], jnp.int32)
  mask = jnp.ones((1, 1, 5, 5), bool)
  out = dense_attention(*layer((query, key, value), clock, clock), mask=mask)
  apart = np.asarray(clock[0], np.int64)
  apart = apart[:, None] - apart[None, :]
  periods = 2 ** np.arange(2, 31, 4)
  angles = 2 * np.pi * (apart[..., None] % periods) / periods
  bias = np.einsum("qkp,hp->hqk", np.cos(angles), layer.even[...])
  bias += np.einsum("qkp,hp->hqk", np.sin(angles), layer.odd[...])
  scores = np.einsum("bqhd,bkhd->bhqk", query, key) / DIM**0.5 + bias
  weights = jax.nn.softmax(scores, -1)
  expected = np.einsum("bhqk,bkhd->bqhd", weights, value)
  np.testing.assert_allclose(out[..., :DIM], expected, atol=2e-5)
  np.testing.assert_array_equal(out[..., DIM:], 0)


def test_a_new_bias_changes_nothing_and_gets_a_gradient():
  query, key, value = arrays(0, 4)
  clock = jnp.asarray([[0, 3, 900, 900]], jnp.int32)
  mask = jnp.ones((1, 1, 4, 4), bool)

  def out(layer):
    widened = layer((query, key, value), clock, clock)
    return dense_attention(*widened, mask=mask)[..., :DIM]

  layer = TimeBias(HEADS, DIM)
  plain = dense_attention(query, key, value, mask=mask)
  np.testing.assert_allclose(out(layer), plain, atol=1e-6)
  loss = lambda layer: (out(layer) * value[:, ::-1]).sum()
  gradient = nnx.grad(loss)(layer)
  assert (jnp.abs(gradient.even[...]) > 0).any(1).all()
  assert (jnp.abs(gradient.odd[...]) > 0).any(1).all()


@given(st.integers(0, YEAR), st.integers(0, YEAR), st.integers(0, 9 * YEAR))
def test_rotary_time_products_depend_on_the_time_between_alone(a, b, shift):
  query, key, _ = arrays(a % 99, 1)
  zero = jnp.zeros((1, 1), jnp.int32)
  # Wraps as a clock may.
  at = lambda x, time: rotate(
      x, zero, zero + np.asarray(time).astype(np.int32)
  )
  product = lambda i, j: np.asarray((at(query, i) * at(key, j)).sum(-1))
  np.testing.assert_allclose(
      product(a, b), product(a + shift, b + shift), atol=2e-5
  )


def test_every_second_pair_turns_by_time_and_the_others_by_position():
  query, _, _ = arrays(0, 2)
  positions, clock = jnp.asarray([[4, 9]]), jnp.asarray([[1, 5_000]])
  both = np.asarray(rotate(query, positions, clock))
  positions_alone = np.asarray(rotate(query, positions))
  time_alone = np.asarray(rotate(query, None, clock))
  by_time = np.arange(DIM) % (DIM // 2) % 2 == 1
  np.testing.assert_array_equal(both[..., by_time], time_alone[..., by_time])
  others = ~by_time
  np.testing.assert_array_equal(
      both[..., others], positions_alone[..., others]
  )
  np.testing.assert_array_equal(
      time_alone[..., others], np.asarray(query)[..., others]
  )
  assert not np.allclose(both[..., by_time], positions_alone[..., by_time])


def test_names_have_a_part_that_is_added_and_one_that_attends():
  assert split_name("bucket") == ("bucket", "none")
  assert split_name("rotary") == ("none", "rotary")
  assert split_name("attention_bias+gate") == ("gate", "attention_bias")
  for wrong in ("bucket+gate", "rotary+attention_bias"):
    with pytest.raises(ValueError, match="time encoding"):
      split_name(wrong)
