"""Counts of neighbours against dictionaries."""

from collections import Counter
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.baselines.gap_ngrams import gap_buckets
from behavior_lm.baselines.neighbour_contexts import Contexts
from behavior_lm.baselines.neighbour_contexts import GAP
from behavior_lm.baselines.neighbour_contexts import OFFSETS
from behavior_lm.baselines.neighbour_counts import find_places
from behavior_lm.baselines.neighbour_counts import NeighbourCounts

VOCAB = 4
SEQUENCES = st.lists(
    st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=15).map(np.array),
    min_size=1,
    max_size=4,
)


SIDES = st.sampled_from([0, -1, 1])


def gaps_of(sequences):
  """Some gaps for each event, the same for the same sequence."""
  return [7 * sequence**2 - 1 for sequence in sequences]


def around(sequence, i, subset, side=0):
  """The neighbours, None beyond the ends; for GAP the bucket of the gap."""
  found = []
  for place in subset:
    at = i + (side if place == GAP else place)
    inside = 0 <= at < len(sequence)
    if place == GAP:
      (gaps,) = gaps_of([sequence])
      found.append(int(gap_buckets(gaps)[at]) if inside else 0)
    else:
      found.append(int(sequence[at]) if inside else None)
  return tuple(found)


def slow_probs(train, sequence, i, subset, continuation, side):
  """Distribution over tokens by going through all training events."""
  counts, seen = Counter(), set()
  for other in train:
    for j in range(len(other)):
      full = (around(other, j, OFFSETS), int(other[j]))
      if around(other, j, subset, side) != around(sequence, i, subset, side):
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
@given(SEQUENCES, SIDES, st.data())
def test_every_expert_gives_the_relative_frequencies(train, side, data):
  sequence = data.draw(SEQUENCES)[0]
  contexts = Contexts(side)
  counts = NeighbourCounts(train, VOCAB, contexts, gaps_of(train))
  places = find_places(
      [sequence],
      everywhere([sequence]),
      hide=False,
      vocab_size=VOCAB,
      gaps=gaps_of([sequence]),
      gap_side=side,
  )
  codes = counts.codes(places)
  got = counts.probs(codes, places.tokens)
  for column, (subset, continuation) in enumerate(contexts.experts):
    for i, token in enumerate(sequence):
      want = slow_probs(train, sequence, i, subset, continuation, side)
      assert got[i, column] == pytest.approx(want[token], abs=1e-6)
      weights = np.zeros((len(sequence), contexts.num_experts))
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
  for column, (subset, continuation) in enumerate(counts.contexts.experts):
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
  assert GAP not in places.hidden
  np.testing.assert_array_equal(got, np.reshape(expected, (-1, 4)))
  # The gap to a neighbour is hidden with it.
  with_gap = find_places(
      sequences,
      masks,
      hide=True,
      vocab_size=VOCAB,
      gaps=gaps_of(sequences),
      gap_side=1,
  )
  np.testing.assert_array_equal(with_gap.hidden[GAP], places.hidden[1])
  seen = find_places(sequences, masks, hide=False, vocab_size=VOCAB)
  assert not any(hidden.any() for hidden in seen.hidden.values())


@given(SEQUENCES, st.integers(0, 2**31))
def test_fast_predictions_are_the_winners_of_the_whole_mixture(train, seed):
  counts = NeighbourCounts(train, VOCAB)
  masks = everywhere(train)
  places = find_places(train, masks, hide=False, vocab_size=VOCAB)
  codes = counts.codes(places)
  rng = np.random.default_rng(seed)
  size = (len(places), counts.contexts.num_experts)
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
