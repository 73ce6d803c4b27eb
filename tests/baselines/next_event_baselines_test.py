import numpy as np
import pytest

from behavior_lm.baselines.next_event_baselines import (
    score_next_event_baselines,
)
from behavior_lm.data.tokenizers.training import train_tokenizer
from behavior_lm.logs.dataset import open_dataset


@pytest.fixture(scope="module")
def dataset(dataset_path):
  return open_dataset(dataset_path)


def test_every_event_is_scored_once_and_longer_contexts_know_more(dataset):
  tokenizer = train_tokenizer(dataset, vocab_size=7000)
  scores = score_next_event_baselines(dataset, tokenizer, split="test")
  assert len(scores) == 1 + 3 * 4
  sizes = dataset.sequences("test")["num_events"].to_numpy()
  for one in scores.values():
    np.testing.assert_array_equal(one.count, sizes)
    np.testing.assert_array_equal(one.num_events, sizes)
    assert one.hidden_bits.sum() == 0
  bits = {k: v.summary()["bits_per_event"] for k, v in scores.items()}
  # The users repeat a chain with slips.
  assert bits["2-gram (Witten-Bell)"] < bits["unigram"] - 0.5
  assert bits["3-gram (Kneser-Ney)"] < bits["unigram"] - 0.5


@pytest.mark.parametrize("kind", ["pair", "bpe"])
def test_events_that_tokens_leave_out_are_charged(dataset, kind):
  few = {"pair": dict(vocab_size=9)}.get(
      kind, dict(vocab_size=40, alphabet_size=9, sessions="60")
  )
  tokenizer = train_tokenizer(dataset, kind, **few)
  (scores,) = score_next_event_baselines(
      dataset, tokenizer, split="test", orders=1
  ).values()
  assert scores.hidden_bits.sum() > 0
  events = dataset.sequences("test")["num_events"].sum()
  assert scores.num_events.sum() == events
  assert (scores.count.sum() < events) == (kind == "bpe")
