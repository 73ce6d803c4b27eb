"""Counts of neighbours against dictionaries."""

from collections import Counter
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.baselines import neighbour_counts
from behavior_lm.baselines.neighbour_counts import EXPERTS
from behavior_lm.baselines.neighbour_counts import find_places
from behavior_lm.baselines.neighbour_counts import NeighbourCounts
from behavior_lm.baselines.neighbour_counts import OFFSETS

VOCAB = 4
SEQUENCES = st.lists(
    st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=15).map(np.array),
    min_size=1,
    max_size=4,
)


def around(sequence, i, subset):
  """The neighbours, None beyond the ends."""
  places = [i + offset for offset in subset]
  return tuple(
      int(sequence[p]) if 0 <= p < len(sequence) else None for p in places
  )


def slow_probs(train, sequence, i, subset, continuation):
  """Distribution over tokens by going through all training events."""
  counts, seen = Counter(), set()
  for other in train:
    for j in range(len(other)):
      full = (around(other, j, OFFSETS), int(other[j]))
      if around(other, j, subset) != around(sequence, i, subset):
        continue
      if continuation and full in seen:
        continue
      seen.add(full)
      counts[int(other[j])] += 1
  total = max(counts.total(), 1)
  return [counts[token] / total for token in range(VOCAB)]


def everywhere(sequences):
  return [np.ones(len(sequence), bool) for sequence in sequences]


@pytest.mark.slow
@given(SEQUENCES, st.data())
def test_every_expert_gives_the_relative_frequencies(train, data):
  sequence = data.draw(SEQUENCES)[0]
  counts = NeighbourCounts(train, VOCAB)
  places = find_places(
      [sequence], everywhere([sequence]), hide=False, vocab_size=VOCAB
  )
  codes = counts.codes(places)
  got = counts.probs(codes, places.tokens)
  for column, (subset, continuation) in enumerate(EXPERTS):
    for i, token in enumerate(sequence):
      want = slow_probs(train, sequence, i, subset, continuation)
      assert got[i, column] == pytest.approx(want[token], abs=1e-6)
      weights = np.zeros((len(sequence), neighbour_counts.NUM_EXPERTS))
      weights[i, column] = 1
      np.testing.assert_allclose(
          counts.mix(codes, weights)[i], want, atol=1e-6
      )
  assert (got[:, -1] == np.float32(1 / VOCAB)).all()


@given(SEQUENCES)
def test_evidence_counts_the_context(train):
  counts = NeighbourCounts(train, VOCAB)
  places = find_places(train, everywhere(train), hide=False, vocab_size=VOCAB)
  totals, types = counts.evidence(counts.codes(places))
  contexts = [(s, i) for s in train for i in range(len(s))]
  for column, (subset, continuation) in enumerate(EXPERTS):
    events = defaultdict(list)
    for s, i in contexts:
      full = (around(s, i, OFFSETS), int(s[i]))
      events[around(s, i, subset)].append(full)
    for row, (s, i) in enumerate(contexts):
      inside = events[around(s, i, subset)]
      kept = set(inside) if continuation else inside
      assert totals[row, column] == len(kept)
      assert types[row, column] == len({token for _, token in inside})


@given(SEQUENCES, st.data())
def test_places_are_hidden_where_the_mask_says(sequences, data):
  masks = [
      np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool)
      for n in map(len, sequences)
  ]
  places = find_places(sequences, masks, hide=True, vocab_size=VOCAB)
  expected = []
  for mask in masks:
    for i in np.flatnonzero(mask):
      inside = [0 <= i + o < len(mask) for o in OFFSETS]
      expected.append([
          bool(ok and mask[i + o])
          for ok, o in zip(inside, OFFSETS, strict=True)
      ])
  got = np.stack([places.hidden[o] for o in OFFSETS], axis=1)
  np.testing.assert_array_equal(got, np.reshape(expected, (-1, 4)))
  seen = find_places(sequences, masks, hide=False, vocab_size=VOCAB)
  assert not any(hidden.any() for hidden in seen.hidden.values())


@given(SEQUENCES, st.integers(0, 2**31))
def test_fast_predictions_are_the_winners_of_the_whole_mixture(train, seed):
  counts = NeighbourCounts(train, VOCAB)
  masks = everywhere(train)
  places = find_places(train, masks, hide=False, vocab_size=VOCAB)
  codes = counts.codes(places)
  rng = np.random.default_rng(seed)
  size = (len(places), neighbour_counts.NUM_EXPERTS)
  weights = rng.dirichlet(np.full(size[1], 0.1), size[0])
  whole = counts.mix(codes, weights)
  best = counts.predict(codes, weights)
  # Not the same token when two are equal up to rounding.
  rows = np.arange(len(places))
  np.testing.assert_allclose(whole[rows, best], whole.max(axis=1), rtol=1e-6)


def test_a_mask_that_does_not_fit_is_refused():
  with pytest.raises(ValueError, match="sequence 1 must be 2 booleans"):
    find_places(
        [np.array([0]), np.array([0, 1])],
        [np.array([True]), np.array([True])],
        hide=True,
        vocab_size=VOCAB,
    )
  with pytest.raises(ValueError, match="1 sequences but 0 masks"):
    find_places([np.array([0])], [], hide=True, vocab_size=VOCAB)
  with pytest.raises(ValueError, match="booleans, not int64"):
    find_places(
        [np.array([0])], [np.array([1])], hide=True, vocab_size=VOCAB
    )
