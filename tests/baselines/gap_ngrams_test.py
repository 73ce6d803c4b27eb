from collections import Counter
from collections import defaultdict
import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.baselines.gap_ngrams import gap_buckets
from behavior_lm.baselines.gap_ngrams import GapNGrams
from behavior_lm.baselines.ngrams import NGramModel
from behavior_lm.baselines.ngrams import SMOOTHINGS

VOCAB, ORDER = 4, 3
EVENTS = st.lists(
    st.tuples(st.integers(0, VOCAB - 1), st.sampled_from([-1, 0, 1, 5, 900])),
    min_size=1,
    max_size=12,
)
LOGS = st.lists(EVENTS, min_size=1, max_size=5)


def split(log):
  tokens = [np.asarray([t for t, _ in events]) for events in log]
  gaps = [np.asarray([g for _, g in events]) for events in log]
  return tokens, gaps


def contexts(events, order):
  """(gap bucket, tokens before) of each event, "start" before the first."""
  padded = ["start"] * (order - 1) + [token for token, _ in events]
  before = [0, *(int(gap_buckets(np.asarray([g]))[0]) for _, g in events)]
  for i, (token, _) in enumerate(events):
    yield (before[i], tuple(padded[i : i + order - 1])), token


@given(LOGS, LOGS, st.sampled_from(SMOOTHINGS))
def test_it_is_the_formula_over_the_plain_model(train, test, smoothing):
  tokens, gaps = split(train)
  model = NGramModel(ORDER, VOCAB, smoothing).fit(tokens)
  plain = model.log_probs_of_orders(split(test)[0])
  with_gaps = GapNGrams(model).fit(tokens, gaps)
  got = with_gaps.log_probs_of_orders(*split(test), plain)
  for order in range(1, ORDER + 1):
    counts = defaultdict(Counter)
    for events in train:
      for context, token in contexts(events, order):
        counts[context][token] += 1
    place = 0
    for events in test:
      for context, token in contexts(events, order):
        seen = counts.get(context, Counter())
        lower = math.exp(plain[order - 1, place])
        want = (seen[token] + len(seen) * lower) / (
            seen.total() + len(seen)
        ) if seen else lower
        assert got[order - 1, place] == pytest.approx(math.log(want))
        place += 1


def test_probabilities_sum_to_one():
  rng = np.random.default_rng(0)
  tokens = [rng.integers(0, VOCAB, 30)]
  gaps = [rng.integers(-1, 6, 30)]
  plain = NGramModel(ORDER, VOCAB).fit(tokens)
  model = GapNGrams(plain).fit(tokens, gaps)
  past, times = tokens[0][:5], [gaps[0][:6]]
  log_probs = []
  for token in range(VOCAB):
    row = [np.append(past, token)]
    of_plain = plain.log_probs_of_orders(row)
    log_probs.append(model.log_probs_of_orders(row, times, of_plain)[:, -1])
  np.testing.assert_allclose(np.exp(log_probs).sum(0), 1)


def test_buckets_double_and_know_what_is_hidden():
  gaps = np.asarray([-1, 0, 1, 2, 3, 4, 2**30, 2**31 - 1])
  assert gap_buckets(gaps).tolist() == [0, 1, 2, 3, 3, 4, 32, 32]


def test_gaps_of_another_number_are_refused():
  model = NGramModel(2, VOCAB).fit([np.asarray([0, 1])])
  with pytest.raises(ValueError, match="2 tokens but 1 gaps"):
    GapNGrams(model).fit([np.asarray([0, 1])], [np.asarray([3])])
