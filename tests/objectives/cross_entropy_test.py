from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np

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


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 1.0, 4.0]))
def test_scores_and_gradients_equal_log_softmax(seed, scale):
  head, tokens = example(seed, scale)
  weight = jnp.asarray(np.random.default_rng(1).random((3, 5)), jnp.float32)
  total = lambda scores: lambda head: (scores(head, tokens)[0] * weight).sum()
  for got, want in zip(
      token_scores(head, tokens), plain(head, tokens), strict=True
  ):
    np.testing.assert_allclose(got, want, atol=1e-4)
  got, want = jax.grad(total(token_scores))(head), jax.grad(total(plain))(head)
  for name in head:
    np.testing.assert_allclose(got[name], want[name], atol=1e-4)


def test_huge_logits_stay_finite():
  head, tokens = example(0)
  head["bias"] = head["bias"].at[3].set(1e4).at[9].set(-1e30)
  nll, _ = token_scores(head, tokens)
  grads = jax.grad(lambda h: token_scores(h, tokens)[0].sum())(head)
  assert np.isfinite(nll).all()
  assert all(np.isfinite(g).all() for g in grads.values())


def test_hits_count_the_highest_token():
  head, _ = example(0)
  best = (head["hidden"] @ head["table"].T + head["bias"]).argmax(-1)
  assert (token_scores(head, best)[1] == 1).all()
  assert (token_scores(head, (best + 1) % 31)[1] == 0).all()
