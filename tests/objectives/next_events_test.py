import jax
import jax.numpy as jnp
import numpy as np
import pytest

from behavior_lm.objectives.gap_mixture import gap_nll
from behavior_lm.objectives.next_events import next_gaps
from behavior_lm.objectives.next_events import next_tokens
from behavior_lm.objectives.next_events import NextEvents

PAD, UNK, CLS, SEP, SPECIAL, VOCAB = 0, 2, 3, 4, 5, 12


def batch():
  return {
      "tokens": jnp.asarray(
          [[CLS, 7, UNK, SEP, 9, CLS, 8, 5, PAD], [CLS, 6, 6, 6, 0, 0, 0, 0, 0]]
      ),
      "segment_ids": jnp.asarray(
          [[1, 1, 1, 1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 0, 0, 0, 0, 0]]
      ),
  }


class Fixed:
  """Gives the same logits whatever it reads; keeps what it was called with."""

  def __init__(self, hidden):
    rng = np.random.default_rng(0)
    self.head = {
        "hidden": hidden,
        "table": jnp.asarray(rng.normal(size=(VOCAB, 4)), jnp.float32),
        "bias": jnp.asarray(rng.normal(size=VOCAB), jnp.float32),
    }

  def __call__(self, batch, offsets=None, *, deterministic, rngs):
    assert offsets is None and not deterministic
    rngs.dropout()
    return self.head


def test_each_event_is_the_target_of_the_place_before_it():
  tokens, weights = next_tokens(batch(), SPECIAL, UNK)
  # SEP and CLS are no events; the first of a segment follows its CLS alone.
  want = [[7, UNK, 0, 9, 0, 8, 5, 0, 0], [6, 6, 6, 0, 0, 0, 0, 0, 0]]
  got = np.where(np.asarray(weights) > 0, np.asarray(tokens), 0)
  np.testing.assert_array_equal(got, want)
  assert (np.asarray(weights) > 0).sum() == 5 + 3


@pytest.mark.slow
def test_the_loss_is_the_mean_over_all_events():
  hidden = jax.random.normal(jax.random.key(0), (2, 9, 4))
  model = Fixed(hidden)
  loss, metrics, state = NextEvents(SPECIAL, UNK).loss(
      model, batch(), {}, jax.random.key(1)
  )
  logits = np.asarray(
      hidden @ model.head["table"].T + model.head["bias"], np.float64
  )
  log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  tokens, weights = map(np.asarray, next_tokens(batch(), SPECIAL, UNK))
  nll = -np.take_along_axis(log_p, tokens[..., None], -1)[..., 0]
  assert float(loss) == pytest.approx(nll[weights > 0].mean(), rel=1e-5)
  hits = (logits.argmax(-1) == tokens)[weights > 0].mean()
  assert float(metrics["accuracy"]) == pytest.approx(hits)
  assert float(metrics["padding_share"]) == pytest.approx(6 / 18)
  assert state == {}


def test_it_says_that_it_predicts_the_future():
  requires = NextEvents(SPECIAL, UNK).requires
  assert requires.predicts_future
  assert set(requires.fields) == {"tokens", "segment_ids"}


def test_the_time_to_the_next_event_is_known_between_events_alone():
  gaps = jnp.asarray([[-1, 0, 3, 4, 5, -1, 0, 2, -1], [-1, 0, 1, 1] + [-1] * 5])
  found, known = next_gaps(batch() | {"time_gaps": gaps}, SPECIAL, UNK)
  # Not from CLS, not across segments, not to or from SEP.
  got = np.where(np.asarray(known) > 0, np.asarray(found), -1)
  want = [[-1, 3, -1, -1, -1, -1, 2, -1, -1], [-1, 1, 1] + [-1] * 6]
  np.testing.assert_array_equal(got, want)


@pytest.mark.slow
def test_gaps_join_the_loss_by_their_weight():
  data = batch() | {"time_gaps": jnp.ones((2, 9), jnp.int32)}
  model = Fixed(jax.random.normal(jax.random.key(0), (2, 9, 4)))
  model.head["gap_mixture"] = jnp.zeros((2, 9, 3, 5))
  key = jax.random.key(1)
  alone, _, _ = NextEvents(SPECIAL, UNK).loss(model, data, {}, key)
  loss, metrics, _ = NextEvents(SPECIAL, UNK, gap_weight=0.5).loss(
      model, data, {}, key
  )
  nats = float(gap_nll(jnp.zeros((3, 5)), jnp.asarray(1)))
  assert float(metrics["gap_loss"]) == pytest.approx(nats, rel=1e-5)
  assert float(metrics["event_loss"]) == pytest.approx(float(alone), rel=1e-6)
  assert float(loss) == pytest.approx(float(alone) + 0.5 * nats, rel=1e-5)


def test_a_negative_weight_of_gaps_is_refused():
  with pytest.raises(ValueError, match="gap_weight -1"):
    NextEvents(SPECIAL, UNK, gap_weight=-1)
