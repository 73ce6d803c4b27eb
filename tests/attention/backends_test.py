import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.attention.backends import attend
from behavior_lm.attention.backends import AttentionSpec
from behavior_lm.attention.dense import dense_attention
from behavior_lm.attention.dense import segment_mask
from behavior_lm.attention.masks import global_mask
from behavior_lm.attention.masks import window_mask
from behavior_lm.attention.sliding_window import first_tokens
from behavior_lm.attention.sliding_window import GlobalProjections

IDS = jnp.asarray([[1] * 9 + [2] * 20 + [0] * 3])
POSITIONS = jnp.asarray([[*range(9), *range(20), 0, 0, 0]])


def qkv(seed=0):
  return jnp.asarray(
      np.random.default_rng(seed).standard_normal((3, 1, 32, 2, 8)),
      jnp.float32,
  )


def run(spec, query, key, value, **more):
  attend_by = functools.partial(
      attend, segment_ids=IDS, positions=POSITIONS, spec=spec
  )
  return jax.jit(attend_by)(query, key, value, **more)


def test_a_spec_chooses_the_kernel_and_its_settings():
  dense = lambda mask: dense_attention(*qkv(), mask=mask)
  out = run(AttentionSpec(causal=True), *qkv())
  want = dense(segment_mask(IDS, positions=POSITIONS, causal=True))
  np.testing.assert_allclose(out, want, atol=1e-6)
  spec = AttentionSpec(
      "sliding_window", causal=True, window_size=3, dilation=2, max_globals=4
  )
  mask = window_mask(IDS, 3, dilation=2, causal=True)
  want = dense(mask | global_mask(IDS, first_tokens(IDS), causal=True))
  np.testing.assert_allclose(run(spec, *qkv()), want, atol=1e-5)
  chosen = (IDS != 0) & (jnp.arange(32) % 10 == 2)
  want = dense(mask | global_mask(IDS, chosen, causal=True))
  out = run(spec, *qkv(), global_tokens=chosen)
  np.testing.assert_allclose(out, want, atol=1e-5)


def test_projections_of_their_own_reach_the_global_tokens_only():
  spec = AttentionSpec("sliding_window", window_size=3, max_globals=2)
  own = qkv(1)
  projections = GlobalProjections(own[0][:, jnp.asarray([0, 9])], *own[1:])
  plain = run(spec, *qkv())
  out = run(spec, *qkv(), global_projections=projections)
  changed = np.flatnonzero(np.any(plain != out, (0, 2, 3)))
  assert changed.tolist() == [0, 9]
  want = dense_attention(*own, mask=segment_mask(IDS))
  np.testing.assert_allclose(out[0, [0, 9]], want[0, [0, 9]], atol=1e-5)


def test_lsh_is_fixed_without_a_random_key_and_drawn_with_one():
  spec = AttentionSpec("lsh", chunk_size=4, num_hashes=1)
  query, _, value = qkv()
  first = run(spec, query, None, value)
  np.testing.assert_array_equal(first, run(spec, query, None, value))
  drawn = [
      run(spec, query, None, value, key_rng=jax.random.key(n)) for n in (1, 2)
  ]
  assert np.abs(drawn[0] - drawn[1]).max() > 0.01


def test_lsh_settings_change_what_it_sees():
  query, _, value = qkv()
  base = dict(kind="lsh", chunk_size=4, num_hashes=2, num_buckets=4)
  first = run(AttentionSpec(**base), query, None, value)
  for change in (
      dict(chunk_size=8),
      dict(num_hashes=3),
      dict(num_buckets=(2, 4)),
      dict(num_buckets=None),
      dict(causal=True),
      dict(faithful=True),
  ):
    other = run(AttentionSpec(**(base | change)), query, None, value)
    assert np.abs(first - other).max() > 0.01, change


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(kind="magic"), r"known are \['dense', 'lsh', 'sliding_window'\]"),
        (dict(backend="cuda"), r"runs on \['xla'\]"),
        (dict(kind="sliding_window"), "set window_size"),
        (dict(kind="sliding_window", window_size=2, dilation=0), "dilation 0"),
        (dict(kind="sliding_window", window_size=2, max_globals=-1), "globals"),
        (dict(window_size=5), "set kind='sliding_window'"),
        (dict(kind="lsh", window_size=5), "set kind='sliding_window'"),
        (dict(num_hashes=5), "set kind='lsh'"),
        (dict(kind="lsh", num_hashes=0), "num_hashes 0"),
        (dict(kind="lsh", chunk_size=0), "chunk_size 0"),
        (dict(kind="lsh", num_buckets=3), "must be even"),
    ],
)
def test_an_impossible_spec_says_what_to_do(settings, message):
  with pytest.raises(ValueError, match=message):
    AttentionSpec(**settings)


@pytest.mark.parametrize(
    ("spec", "arguments", "message"),
    [
        (AttentionSpec("lsh"), {}, "pass key=None"),
        (AttentionSpec(), dict(key=None), "needs a key"),
        (AttentionSpec(), dict(global_tokens=IDS > 0), "max_globals"),
    ],
)
def test_an_argument_that_the_kernel_would_ignore_is_an_error(
    spec, arguments, message
):
  query, key, value = qkv()
  with pytest.raises(ValueError, match=message):
    run(spec, **(dict(query=query, key=key, value=value) | arguments))
