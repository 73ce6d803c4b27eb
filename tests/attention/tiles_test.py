import functools
import json
import os
from pathlib import Path
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention import tiles
from behavior_lm.attention.tiles import attend_tile
from behavior_lm.attention.tiles import attend_tiles
from behavior_lm.attention.tiles import causal_bias
from behavior_lm.attention.tiles import join_parts
from behavior_lm.attention.tiles import mask_bias
from behavior_lm.attention.tiles import segment_bias
from tests.devices import several_devices

REPO = Path(__file__).resolve().parents[2]


def draw(*shapes, seed=0, dtype=jnp.float32):
  rng = np.random.default_rng(seed)
  return [jnp.asarray(rng.standard_normal(x), dtype) for x in shapes]


def shapes(tiles_of_keys):
  """Query, key, value, cotangent, mask."""
  key = (tiles_of_keys, 2, 7)
  return (6, 2, 5, 8), (*key, 8), (*key, 4), (6, 2, 5, 4), (6, 1, 7, 5)


def elsewhere(*operands, cpu, default):
  """What `jax.lax.platform_dependent` takes on an accelerator."""
  del cpu
  return default(*operands)


def plain(query, key, value, bias):
  """The formula, for jax to differentiate; bias [tiles, .., keys, queries]."""
  repeats = len(query) // len(key)
  key, value = (jnp.repeat(x, repeats, 0) for x in (key, value))
  scores = jnp.einsum("thqd,thkd->thqk", query, key) + bias.swapaxes(2, 3)
  return jnp.einsum("thqk,thkd->thqd", jax.nn.softmax(scores, -1), value)


def tiled(query, key, value, mask, rows=1):
  return attend_tiles(mask_bias, rows, query, key, value, mask)


def both(run, query, key, value, last, cotangent, dtype=jnp.float32):
  """Values and gradients of one compiled program."""

  @jax.jit
  def program(q, k, v):
    out, pull = jax.vjp(lambda *x: run(*x, last), q, k, v)
    return out, pull(cotangent.astype(out.dtype))

  return program(*(x.astype(dtype) for x in (query, key, value)))


@pytest.mark.parametrize("at_once", [1, 150, 2**19])
@pytest.mark.parametrize("tiles_of_keys", [1, 2, 6])
@pytest.mark.parametrize(
    ("dtype", "atol"), [(jnp.float32, 1e-5), (jnp.bfloat16, 0.08)]
)
def test_tiles_are_softmax_attention(
    monkeypatch, at_once, tiles_of_keys, dtype, atol
):
  """For any number of tiles at once, and of tiles that share keys.

  In bfloat16 operands and results have 8 bits: values near 1 are off by up to
  0.004, and gradients sum several of them.
  """
  monkeypatch.setattr(tiles, "SCORES_AT_ONCE", at_once)
  *qkv, cotangent, noise = draw(*shapes(tiles_of_keys))
  mask = noise > -0.5
  got = both(tiled, *qkv, mask, cotangent, dtype)
  want = both(plain, *qkv, mask_bias(mask), cotangent)
  assert got[0].dtype == dtype
  assert [x.dtype for x in got[1]] == [dtype] * 3
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(
          a.astype(jnp.float32), b, atol=atol
      ),
      got,
      want,
  )


# Of 6 tiles in rows, with 70 scores each: one at once, two, all.
@pytest.mark.parametrize("most", [1, 300, 2**28])
@pytest.mark.parametrize(
    ("rows", "tiles_of_keys"), [(1, 1), (1, 2), (2, 2), (2, 6), (3, 3), (6, 6)]
)
def test_the_program_for_accelerators_is_the_same(
    monkeypatch, rows, tiles_of_keys, most
):
  """There a loop goes over some tiles of each row; here taken by hand."""
  monkeypatch.setattr(tiles, "SCORES_AT_ONCE_ELSEWHERE", most)
  *qkv, cotangent, noise = draw(*shapes(tiles_of_keys))
  mask = noise > -0.5
  monkeypatch.setattr(jax.lax, "platform_dependent", elsewhere)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
      both(functools.partial(tiled, rows=rows), *qkv, mask, cotangent),
      both(plain, *qkv, mask_bias(mask), cotangent),
  )


@pytest.mark.slow
def test_a_query_without_keys_gets_numbers():
  query, key, value = draw((1, 1, 2, 4), (1, 1, 3, 4), (1, 1, 3, 4))
  mask = jnp.zeros((1, 1, 3, 2), bool).at[..., 0].set(True)
  grads = jax.grad(lambda *x: tiled(*x, mask).sum(), (0, 1, 2))
  for x in (tiled(query, key, value, mask), *grads(query, key, value)):
    assert np.isfinite(x).all()


def test_few_scores_are_in_memory_at_a_time():
  x = jax.ShapeDtypeStruct((256, 1, 256, 8), jnp.float32)
  mask = jax.ShapeDtypeStruct((256, 1, 256, 256), bool)
  compiled = jax.jit(tiled).lower(x, x, x, mask).compile()
  all_scores = 256 * 256 * 256 * 4
  assert compiled.memory_analysis().temp_size_in_bytes < all_scores / 2


@pytest.mark.slow
def test_joined_parts_are_attention_to_all_keys():
  query, key, value = draw((2, 3, 4, 8), (2, 3, 9, 8), (2, 3, 9, 8))
  mask = jnp.ones((2, 1, 9, 4), bool).at[0, 0, :5, 1].set(False)
  bias = mask_bias(mask)
  parts = [
      attend_tile(bias[:, :, cut], query, key[:, :, cut], value[:, :, cut])
      for cut in (slice(0, 5), slice(5, 6), slice(6, 9))
  ]
  got = join_parts(*zip(*parts, strict=True))
  want = plain(query, key, value, mask_bias(mask))
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


@pytest.mark.slow
def test_devices_attend_to_rows_of_their_own():
  """Also where scores are too many for all at once, and a loop goes over them.

  A loop over what lies on several devices would have each do all the work.
  """
  done = subprocess.run(
      [sys.executable, "tests/attention/divided_rows_program.py"],
      cwd=REPO,
      env=os.environ
      | {
          "XLA_FLAGS": several_devices(4),
          "PYTHONPATH": str(REPO),
      },
      capture_output=True,
      text=True,
      timeout=500,
  )
  assert done.returncode == 0, done.stderr[-3000:]
  line = next(x for x in done.stdout.splitlines() if x.startswith("RESULT"))
  for kind, found in json.loads(line.removeprefix("RESULT ")).items():
    assert found["loops"] > 0, kind
    assert not found["exchange"], kind
    assert found["together"] < 0.3 * found["alone"], kind
    assert found["difference"] < 1e-5, kind
