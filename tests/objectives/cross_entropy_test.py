from unittest import mock

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives import cross_entropy
from behavior_lm.objectives.cross_entropy import token_loss
from behavior_lm.objectives.cross_entropy import token_scores


def plain(head, tokens):
  """The same by log_softmax on whole logits: the oracle."""
  logits = head["hidden"] @ head["table"].T + head["bias"]
  log_probs = jax.nn.log_softmax(logits, -1)
  nll = -jnp.take_along_axis(log_probs, tokens[..., None], -1)[..., 0]
  return nll, (logits.argmax(-1) == tokens).astype(jnp.float32)


def example(seed, scale=1.0, vocab=31):
  rng = np.random.default_rng(seed)
  draw = lambda *shape: jnp.asarray(
      rng.normal(size=shape) * scale, jnp.float32
  )
  head = {"hidden": draw(3, 5, 8), "table": draw(vocab, 8), "bias": draw(vocab)}
  # repeated tokens: their gradients must add up
  return head, jnp.asarray(rng.integers(0, 6, (3, 5)), jnp.int32)


def loss_of(head, tokens, weights):
  return token_loss(head, tokens, weights)[0]


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([0.1, 1.0, 4.0]),
    at_once=st.sampled_from([1, 31 * 4, 31 * 6, 31 * 100]),
)
def test_scores_and_gradients_equal_log_softmax(seed, scale, at_once):
  head, tokens = example(seed, scale)
  weights = jnp.asarray(np.random.default_rng(1).random((3, 5)), jnp.float32)

  def plain_loss(head, tokens, weights):
    return (plain(head, tokens)[0] * weights).sum()

  with mock.patch.object(cross_entropy, "LOGITS_AT_ONCE", at_once):
    got = token_scores(head, tokens)
    both = jax.value_and_grad(loss_of, (0, 2))(head, tokens, weights)
    value = loss_of(head, tokens, weights)
    doubled = jax.grad(lambda *x: 2 * loss_of(*x))(head, tokens, weights)
  for a, b in zip(got, plain(head, tokens), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4)
  want = jax.value_and_grad(plain_loss, (0, 2))(head, tokens, weights)
  np.testing.assert_allclose(value, want[0], rtol=1e-5)
  for a, b in zip(jax.tree.leaves(both), jax.tree.leaves(want), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4)
  for name, grad in doubled.items():
    np.testing.assert_allclose(grad, 2 * both[1][0][name], rtol=1e-6)


def test_the_loss_comes_with_its_scores():
  head, tokens = example(3)
  weights = jnp.ones((3, 5))
  _, *scores = token_loss(head, tokens, weights)
  for a, b in zip(scores, token_scores(head, tokens), strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_gradients_in_bfloat16_are_near_those_in_float32():
  head, tokens = example(4, vocab=64)
  weights = jnp.ones((3, 5)) / 15
  round_off = lambda x: x.astype(jnp.bfloat16).astype(jnp.float32)
  wide = {"bias": head["bias"]} | {
      name: round_off(head[name]) for name in ("hidden", "table")
  }
  narrow = wide | {"hidden": wide["hidden"].astype(jnp.bfloat16)}
  got = jax.grad(loss_of)(narrow, tokens, weights)
  want = jax.grad(loss_of)(wide, tokens, weights)
  for name, x in narrow.items():
    assert got[name].dtype == x.dtype
    error = jnp.abs(got[name].astype(jnp.float32) - want[name]).max()
    assert error < 0.02 * jnp.abs(want[name]).max()


def test_logits_never_exist_all_together():
  vocab, rows = 5_000, 6_000
  shape = jax.ShapeDtypeStruct
  head = {
      "hidden": shape((1, rows, 16), jnp.float32),
      "table": shape((vocab, 16), jnp.float32),
      "bias": shape((vocab,), jnp.float32),
  }
  tokens = shape((1, rows), jnp.int32)
  weights = shape((1, rows), jnp.float32)
  program = jax.jit(jax.value_and_grad(loss_of)).lower(head, tokens, weights)
  needed = program.compile().memory_analysis().temp_size_in_bytes
  # A few passes over the logits of a piece; all of them take 120 MB.
  assert needed < 8 * 4 * cross_entropy.LOGITS_AT_ONCE / 2
  assert 4 * vocab * rows > 100e6


def test_huge_logits_stay_finite():
  head, tokens = example(0)
  head["bias"] = head["bias"].at[3].set(1e4).at[9].set(-1e30)
  nll, _ = token_scores(head, tokens)
  grads = jax.grad(loss_of)(head, tokens, jnp.ones((3, 5)))
  assert np.isfinite(nll).all()
  assert all(np.isfinite(g).all() for g in grads.values())


def test_hits_count_the_highest_token():
  head, _ = example(0)
  best = (head["hidden"] @ head["table"].T + head["bias"]).argmax(-1)
  assert (token_scores(head, best)[1] == 1).all()
  assert (token_scores(head, (best + 1) % 31)[1] == 0).all()
