import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention import tiles
from behavior_lm.attention.tiles import attend_tiles
from behavior_lm.attention.tiles import causal_bias
from behavior_lm.attention.tiles import join_parts
from behavior_lm.attention.tiles import mask_bias
from behavior_lm.attention.tiles import segment_bias


def draw(*shapes, seed=0, dtype=jnp.float32):
  rng = np.random.default_rng(seed)
  return [jnp.asarray(rng.standard_normal(x), dtype) for x in shapes]


def plain(query, key, value, bias):
  """The formula, for jax to differentiate; bias [tiles, .., keys, queries]."""
  repeats = len(query) // len(key)
  key, value = (jnp.repeat(x, repeats, 0) for x in (key, value))
  scores = jnp.einsum("thqd,thkd->thqk", query, key) + bias.swapaxes(2, 3)
  log_total = jax.nn.logsumexp(scores, -1)
  weights = jnp.exp(scores - log_total[..., None])
  return jnp.einsum("thqk,thkd->thqd", weights, value), log_total


def tiled(query, key, value, mask):
  return attend_tiles(mask_bias, query, key, value, mask)


def both(run, query, key, value, last, cotangents, dtype=jnp.float32):
  """Values and gradients of one compiled program."""
  cast = lambda xs: [x.astype(dtype) for x in xs]
  cot_out, cot_log = cotangents

  @jax.jit
  def program(q, k, v):
    out, pull = jax.vjp(lambda *x: run(*x, last), q, k, v)
    return out, pull((cot_out.astype(out[0].dtype), cot_log))

  return program(*cast((query, key, value)))


@pytest.mark.parametrize("at_once", [1, 150, 2**19])
@pytest.mark.parametrize("tiles_of_keys", [1, 2, 6])
@pytest.mark.parametrize(
    ("dtype", "atol"), [(jnp.float32, 1e-5), (jnp.bfloat16, 0.08)]
)
def test_tiles_are_the_softmax_and_its_denominator(
    monkeypatch, at_once, tiles_of_keys, dtype, atol
):
  """For any number of tiles at once, and of tiles that share keys.

  In bfloat16 operands and results have 8 bits: values near 1 are off by up to
  0.004, and gradients sum several of them.
  """
  monkeypatch.setattr(tiles, "SCORES_AT_ONCE", at_once)
  query, key, value, cot_out, cot_log, noise = draw(
      (6, 2, 5, 8),
      (tiles_of_keys, 2, 7, 8),
      (tiles_of_keys, 2, 7, 4),
      (6, 2, 5, 4),
      (6, 2, 5),
      (6, 1, 7, 5),
  )
  mask = noise > -0.5
  rest = (query, key, value), (cot_out, cot_log)
  got = both(tiled, *rest[0], mask, rest[1], dtype)
  want = both(plain, *rest[0], mask_bias(mask), rest[1])
  assert got[0][0].dtype == dtype and got[0][1].dtype == jnp.float32
  assert [x.dtype for x in got[1]] == [dtype] * 3
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(
          a.astype(jnp.float32), b, atol=atol
      ),
      got,
      want,
  )


@pytest.mark.parametrize("most", [1, 150, 2**28])
@pytest.mark.parametrize("tiles_of_keys", [2, 6])
def test_the_program_for_accelerators_is_the_same(
    monkeypatch, tiles_of_keys, most
):
  """There all tiles run at once, or many; here that branch is taken by hand."""
  monkeypatch.setattr(tiles, "SCORES_AT_ONCE_ELSEWHERE", most)
  query, key, value, *cotangents, noise = draw(
      (6, 2, 5, 8),
      (tiles_of_keys, 2, 7, 8),
      (tiles_of_keys, 2, 7, 4),
      (6, 2, 5, 4),
      (6, 2, 5),
      (6, 1, 7, 5),
  )
  args = (tiled, query, key, value, noise > -0.5, cotangents)
  in_turn = both(*args)
  monkeypatch.setattr(
      jax.lax,
      "platform_dependent",
      lambda *operands, cpu, default: default(*operands),
  )
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
      in_turn,
      both(*args),
  )


def test_a_query_without_keys_gets_numbers():
  query, key, value = draw((1, 1, 2, 4), (1, 1, 3, 4), (1, 1, 3, 4))
  mask = jnp.zeros((1, 1, 3, 2), bool).at[..., 0].set(True)
  grads = jax.grad(lambda *x: tiled(*x, mask)[0].sum(), (0, 1, 2))
  for x in (*tiled(query, key, value, mask), *grads(query, key, value)):
    assert np.isfinite(x).all()


def test_few_scores_are_in_memory_at_a_time():
  x = jax.ShapeDtypeStruct((256, 1, 256, 8), jnp.float32)
  mask = jax.ShapeDtypeStruct((256, 1, 256, 256), bool)
  compiled = jax.jit(tiled).lower(x, x, x, mask).compile()
  all_scores = 256 * 256 * 256 * 4
  assert compiled.memory_analysis().temp_size_in_bytes < all_scores / 2


def test_joined_parts_are_attention_to_all_keys():
  query, key, value = draw((2, 3, 4, 8), (2, 3, 9, 8), (2, 3, 9, 8))
  mask = jnp.ones((2, 1, 9, 4), bool).at[0, 0, :5, 1].set(False)
  parts = [
      tiled(query, key[:, :, cut], value[:, :, cut], mask[:, :, cut])
      for cut in (slice(0, 5), slice(5, 6), slice(6, 9))
  ]
  got = join_parts(*zip(*parts, strict=True))
  want, _ = plain(query, key, value, mask_bias(mask))
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_biases_hide_other_segments_and_the_future():
  queries = jnp.asarray([1, 1, 2])[None, None, None]
  keys = jnp.asarray([1, 2])[None, None, :, None]
  seen = segment_bias(queries, keys)[0, 0] == 0
  assert seen.tolist() == [[True, True, False], [False, False, True]]
  places = jnp.asarray([0, 5, 5])[None, None, None]
  key_places = jnp.asarray([3, 5])[None, None, :, None]
  seen = causal_bias(queries, keys, places, key_places)[0, 0] == 0
  assert seen.tolist() == [[False, True, False], [False, False, True]]
