"""The neighbour model: normalised, honest about what is hidden, strong."""

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.baselines import neighbour_model
from behavior_lm.baselines.neighbour_model import NeighbourModel
from behavior_lm.baselines.ngrams import NGramModel
from behavior_lm.data.fixed_mask import fixed_mask
from tests.baselines.server_204 import user_days

VOCAB = 9


def walks(seed, num_sequences=12, length=60):
  """Sequences in which an event mostly follows from the one before."""
  rng = np.random.default_rng(seed)
  out = []
  for _ in range(num_sequences):
    steps = rng.choice([1, 1, 1, 2, 5], length)
    out.append((np.cumsum(steps) % VOCAB).astype(np.int32))
  return out


@pytest.fixture(scope="module")
def model():
  return NeighbourModel(VOCAB).fit(walks(0))


SEQUENCE = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=20).map(
    np.array
)


def some_mask(data, sequence):
  size = len(sequence)
  return np.array(
      data.draw(st.lists(st.booleans(), min_size=size, max_size=size)), bool
  )


@given(SEQUENCE, st.booleans(), st.data())
def test_distributions_sum_to_one(model, sequence, hide, data):
  mask = some_mask(data, sequence)
  probs = model.probs(sequence, mask, hide)
  assert probs.shape == (mask.sum(), VOCAB)
  assert (probs > 0).all()
  np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)


@given(SEQUENCE, st.booleans(), st.data())
def test_log_probs_and_predictions_are_those_of_the_distribution(
    model, sequence, hide, data
):
  mask = some_mask(data, sequence)
  probs = model.probs(sequence, mask, hide)
  rows = np.arange(len(probs))
  np.testing.assert_allclose(
      model.log_probs_of([sequence], [mask], hide),
      np.log(probs[rows, sequence[mask]]),
      atol=1e-6,
  )
  best = model.predict_of([sequence], [mask], hide)
  np.testing.assert_allclose(probs[rows, best], probs.max(axis=1), rtol=1e-6)


@given(SEQUENCE, st.data())
def test_masked_events_tell_nothing_when_hidden(model, sequence, data):
  mask = some_mask(data, sequence)
  other = sequence.copy()
  other[mask] = (other[mask] + 4) % VOCAB
  np.testing.assert_array_equal(
      model.probs(sequence, mask, True), model.probs(other, mask, True)
  )


@given(SEQUENCE, st.data())
def test_the_event_itself_never_tells(model, sequence, data):
  place = data.draw(st.integers(0, len(sequence) - 1))
  mask = np.arange(len(sequence)) == place
  other = sequence.copy()
  other[place] = (other[place] + 1) % VOCAB
  for hide in (True, False):
    np.testing.assert_array_equal(
        model.probs(sequence, mask, hide), model.probs(other, mask, hide)
    )


@given(SEQUENCE, st.data())
def test_only_two_neighbours_on_each_side_matter(model, sequence, data):
  place = data.draw(st.integers(0, len(sequence) - 1))
  places = np.arange(len(sequence))
  mask = places == place
  far = np.abs(places - place) > 2
  other = np.where(far, (sequence + 1) % VOCAB, sequence)
  np.testing.assert_array_equal(
      model.probs(sequence, mask, False), model.probs(other, mask, False)
  )


def test_full_context_uses_what_masked_context_may_not(model):
  sequence = walks(1, 1)[0]
  mask = np.zeros(len(sequence), bool)
  mask[10:12] = True
  other = sequence.copy()
  other[11] = (other[11] + 4) % VOCAB
  full = [model.probs(s, mask, False)[0] for s in (sequence, other)]
  assert np.abs(full[0] - full[1]).max() > 0.01


def test_neighbours_beat_the_past_alone_and_masks_cost(model):
  train, test = walks(0), walks(1, 30)
  masks = [fixed_mask(str(i), i, len(s)) for i, s in enumerate(test)]
  masked = np.concatenate(masks)
  bigram = NGramModel(2, VOCAB).fit(train).log_probs_of(test)[masked].mean()
  full = model.log_probs_of(test, masks, False).mean()
  hidden = model.log_probs_of(test, masks, True).mean()
  assert full > bigram
  assert full > hidden > -np.log(VOCAB)


def test_sequences_scored_together_or_alone_agree(model):
  test = walks(2, 5)
  masks = [fixed_mask("a", i, len(s)) for i, s in enumerate(test)]
  for hide in (True, False):
    pairs = list(zip(test, masks, strict=True))
    np.testing.assert_allclose(
        model.log_probs_of(test, masks, hide),
        np.concatenate([
            model.log_probs_of([one], [mask], hide) for one, mask in pairs
        ]),
        rtol=1e-12,
    )
    np.testing.assert_array_equal(
        model.predict_of(test, masks, hide),
        np.concatenate([
            model.predict_of([one], [mask], hide) for one, mask in pairs
        ]),
    )


def test_the_order_of_sequences_with_starts_does_not_matter():
  train, starts = walks(3), np.arange(12) * 100
  mixed = np.random.default_rng(0).permutation(12)
  test = walks(4, 1)[0]
  mask = fixed_mask("a", 0, len(test))
  one = NeighbourModel(VOCAB).fit(train, starts)
  two = NeighbourModel(VOCAB).fit([train[i] for i in mixed], starts[mixed])
  np.testing.assert_array_equal(
      one.probs(test, mask, False), two.probs(test, mask, False)
  )


def test_weights_are_chosen_on_the_latest_sequences():
  chosen = neighbour_model.latest(np.array([10, 10, 10, 10]), share=0.5)
  assert chosen.tolist() == [False, False, True, True]
  # One very long sequence at the end leaves the others to count.
  chosen = neighbour_model.latest(np.array([1, 1, 98]))
  assert chosen.tolist() == [False, False, True]
  # One very long sequence at the beginning is never chosen.
  chosen = neighbour_model.latest(np.array([1, 1]), share=1.0)
  assert chosen.tolist() == [False, True]


def test_too_little_to_fit_is_said():
  with pytest.raises(ValueError, match="at least two training sequences"):
    NeighbourModel(3).fit([np.array([0, 1]), np.zeros(0, int)])
  with pytest.raises(ValueError, match="1 starts, 2 sequences"):
    NeighbourModel(3).fit([np.array([0]), np.array([1])], [5])
  with pytest.raises(ValueError, match="call fit"):
    NeighbourModel(3).log_probs_of([np.array([0])], [np.array([True])], True)


@pytest.mark.realdata
@pytest.mark.slow
def test_on_server_204_it_stays_as_strong_as_it_was(data_root):
  # Vocabulary and days of REFERENCES: unigram 171.9, bigram 9.14. A chain of
  # Witten-Bell back-offs over the same neighbours made 2.60 and 5.91 here.
  train, test, vocab_size = user_days(data_root)
  masks = [fixed_mask("u", i, len(s)) for i, s in enumerate(test)]
  model = NeighbourModel(vocab_size).fit(train)
  for hide, want in ((True, 2.55), (False, 2.15)):
    got = np.exp(-model.log_probs_of(test, masks, hide).mean())
    assert got == pytest.approx(want, rel=0.015)
