"""Few exact events are a warning with its remedies."""

import polars as pl
import pytest

from behavior_lm.data.tokenizers.coverage import coverage_line
from behavior_lm.data.tokenizers.pair import PairTokenizer


def _pairs(counts):
  return pl.DataFrame({
      "event_id": ["buy"] * len(counts),
      "design_id": [str(i) for i in range(len(counts))],
      "train_count": counts,
  })


@pytest.mark.parametrize(
    ("counts", "warned"), [([9, 1], False), ([1] * 20, True)]
)
def test_the_line_says_how_many_events_are_exact(counts, warned):
  pairs = _pairs(counts)
  tokenizer = PairTokenizer.train(pairs, vocab_size=10)
  exact = tokenizer.coverage(pairs)["exact"]
  line = coverage_line(tokenizer, pairs)
  assert f"{exact:.2%} exact" in line
  assert ("Warning" in line) == warned == (exact < 0.8)
