"""Diversity of the first k of requests against a count by hand."""

import collections
import math

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from behavior_lm.evaluation import request_metrics

ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from([0.1, 0.4, 0.4, 0.9]),
        st.integers(3, 6),
        st.booleans(),
    ),
    min_size=1,
    max_size=20,
)


@given(ROWS, st.integers(1, 4))
def test_diversity_equals_a_count_by_hand(rows, k):
  requests, scores, categories, recent = map(np.array, zip(*rows, strict=True))
  got = request_metrics.diversity_at_k(
      requests, scores, categories, recent, k
  )
  want = collections.defaultdict(list)
  for request in set(requests.tolist()):
    mine = [row for row in rows if row[0] == request]
    top = sorted(mine, key=lambda row: -row[1])[:k]
    counts = collections.Counter(row[2] for row in top)
    shares = [count / len(top) for count in counts.values()]
    want["entropy"].append(-sum(p * math.log(p) for p in shares))
    want["repeats"].append(1 - len(counts) / len(top))
    want["recent"].append(sum(row[3] for row in top) / len(top))
  for name, values in want.items():
    assert got[name] == pytest.approx(np.mean(values), abs=1e-9)
