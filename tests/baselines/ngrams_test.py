"""N-gram models against a slow oracle, and on real logs."""

from collections import Counter
from collections import defaultdict
import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.baselines.ngrams import NGramModel
from behavior_lm.baselines.ngrams import SMOOTHINGS
from tests.baselines.server_204 import user_days

VOCAB = 4
SEQUENCES = st.lists(
    st.lists(st.integers(0, VOCAB - 1), max_size=12).map(
        lambda tokens: np.array(tokens, np.int32)
    ),
    max_size=6,
)
FITTABLE = SEQUENCES.filter(lambda sequences: any(len(s) for s in sequences))


class SlowWittenBell:
  """The formula with dictionaries, one context at a time."""

  def __init__(self, order, vocab_size, sequences):
    self.order, self.vocab_size = order, vocab_size
    self.followers = defaultdict(Counter)
    for sequence in sequences:
      for context, token in self.events(sequence):
        for size in range(order):
          self.followers[context[len(context) - size :]][token] += 1

  def events(self, sequence):
    padded = ["start"] * (self.order - 1) + [int(t) for t in sequence]
    for i in range(len(sequence)):
      yield tuple(padded[i : i + self.order - 1]), int(sequence[i])

  def prob(self, context, token):
    if context is None:
      return 1 / self.vocab_size
    shorter = self.prob(context[1:] if context else None, token)
    counts = self.followers.get(context)
    if not counts:
      return shorter
    total, types = counts.total(), len(counts)
    return (counts[token] + types * shorter) / (total + types)

  def log_probs(self, sequence):
    return [math.log(self.prob(*event)) for event in self.events(sequence)]


class SlowKneserNey(SlowWittenBell):
  """The formula with dictionaries; discounts by counts of counts."""

  def __init__(self, order, vocab_size, sequences):
    super().__init__(order, vocab_size, sequences)
    # {context: {token: distinct symbols in front}}, of shorter contexts.
    self.fronts = defaultdict(Counter)
    for context, followers in self.followers.items():
      for token, count in followers.items():
        if context:
          is_start = context[0] == "start"
          self.fronts[context[1:]][token] += count if is_start else 1
    self.discounts = {}
    for highest in (True, False):
      table = self.followers if highest else self.fronts
      for size in range(order):
        counts = [
            count
            for context, followers in table.items()
            if len(context) == size
            for count in followers.values()
        ]
        self.discounts[highest, size] = self.estimate(counts)

  def estimate(self, counts):
    n1, n2, n3, n4 = (counts.count(k) for k in (1, 2, 3, 4))
    if not (n1 and n2 and n3):
      return 0.5, 0.75, 0.75
    y = n1 / (n1 + 2 * n2)
    found = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
    return [min(max(d, 0.1), k) for d, k in zip(found, (1, 2, 3), strict=True)]

  def prob(self, context, token, highest=True):
    if context is None:
      return 1 / self.vocab_size
    below = self.prob(context[1:] if context else None, token, False)
    counts = (self.followers if highest else self.fronts).get(context)
    if not counts:
      return below
    sizes = self.discounts[highest, len(context)]
    discount = lambda count: sizes[min(count, 3) - 1]
    mass = sum(discount(count) for count in counts.values())
    seen = counts[token] - discount(counts[token]) if counts[token] else 0
    return (seen + mass * below) / counts.total()


SLOW = {"witten_bell": SlowWittenBell, "kneser_ney": SlowKneserNey}


@given(FITTABLE, SEQUENCES, st.integers(1, 5), st.sampled_from(SMOOTHINGS))
def test_probabilities_of_every_order_equal_the_slow_formula(
    train, test, order, smoothing
):
  model = NGramModel(order, VOCAB, smoothing).fit(train)
  for sequence in test:
    got = model.log_probs_of_orders([sequence])
    for shorter in range(1, order + 1):
      slow = SLOW[smoothing](shorter, VOCAB, train)
      np.testing.assert_allclose(
          got[shorter - 1], slow.log_probs(sequence), atol=1e-12
      )


@given(
    FITTABLE,
    st.lists(st.integers(0, VOCAB - 1), max_size=8),
    st.sampled_from(SMOOTHINGS),
)
def test_probabilities_of_the_next_token_sum_to_one(train, past, smoothing):
  model = NGramModel(3, VOCAB, smoothing).fit(train)
  last = [model.log_probs(np.array([*past, w]))[-1] for w in range(VOCAB)]
  assert np.exp(last).sum() == pytest.approx(1, abs=1e-12)


@given(FITTABLE, SEQUENCES)
def test_sequences_scored_together_or_alone_agree(train, test):
  model = NGramModel(4, VOCAB).fit(train)
  alone = [model.log_probs(sequence) for sequence in test]
  np.testing.assert_array_equal(
      model.log_probs_of(test), np.concatenate([np.zeros(0), *alone])
  )


def test_the_context_restarts_with_each_sequence():
  model = NGramModel(2, 3).fit([np.array([0, 1]), np.array([2, 1])])
  joined = model.log_probs(np.array([0, 1, 2, 1]))
  apart = model.log_probs_of([np.array([0, 1]), np.array([2, 1])])
  assert joined[2] != apart[2]
  np.testing.assert_array_equal(joined[[0, 1, 3]], apart[[0, 1, 3]])


def test_large_codes_do_not_collide():
  # With 2 ** 16 tokens an order of 5 has 80 bits of context and token.
  rng = np.random.default_rng(0)
  train = [rng.integers(0, 2**16, 200) for _ in range(3)]
  slow = SlowWittenBell(5, 2**16, train)
  model = NGramModel(5, 2**16).fit(train)
  for sequence in (train[0], rng.permutation(train[1])):
    np.testing.assert_allclose(
        model.log_probs(sequence), slow.log_probs(sequence), atol=1e-12
    )


def test_perplexity_is_the_exponent_of_the_mean():
  model = NGramModel(1, 2).fit([np.array([0, 0, 0, 1])])
  # (3 + 2 / 2) / 6 and (1 + 2 / 2) / 6.
  assert model.perplexity([np.array([0, 1])]) == pytest.approx(
      math.sqrt(6 / 4 * 6 / 2)
  )


@pytest.mark.parametrize(
    "sequence, message",
    [
        (np.array([0, 2]), "outside the vocabulary"),
        (np.array([-1]), "outside the vocabulary"),
        (np.array([0.5]), "integers"),
        (np.zeros((2, 2), int), "one dimension"),
    ],
)
def test_bad_tokens_are_named(sequence, message):
  with pytest.raises(ValueError, match=message):
    NGramModel(2, 2).fit([sequence])


def test_a_model_without_counts_says_so():
  with pytest.raises(ValueError, match="no events"):
    NGramModel(2, 2).fit([np.zeros(0, np.int32)])
  with pytest.raises(ValueError, match="call fit"):
    NGramModel(2, 2).log_probs(np.array([0]))
  with pytest.raises(ValueError, match="at least 1"):
    NGramModel(0, 2)
  with pytest.raises(ValueError, match="smoothing 'laplace'"):
    NGramModel(1, 2, "laplace")


@pytest.mark.realdata
@pytest.mark.slow
def test_published_perplexities_of_server_204_come_out(data_root):
  train, test, vocab_size = user_days(data_root)
  model = NGramModel(5, vocab_size).fit(train)
  got = np.exp(-model.log_probs_of_orders(test).mean(1))
  np.testing.assert_allclose(got[[0, 1, 2, 4]], (171.9, 9.14, 5.19, 4.63), 2e-3)
  discounted = NGramModel(5, vocab_size, "kneser_ney").fit(train)
  assert discounted.perplexity(test) < 4.8
