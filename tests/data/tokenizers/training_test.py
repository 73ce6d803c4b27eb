import numpy as np
import pytest

from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers.training import count_gaps
from behavior_lm.data.tokenizers.training import count_runs
from behavior_lm.data.tokenizers.training import MAX_RUN
from behavior_lm.data.tokenizers.training import read_rule
from behavior_lm.data.tokenizers.training import sample_sequences
from behavior_lm.data.tokenizers.training import train_tokenizer
from behavior_lm.logs.dataset import open_dataset
from tests.tiny import tiny_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
  return open_dataset(tiny_dataset(tmp_path_factory.mktemp("data")))


def test_a_sample_holds_whole_sequences_once_each(dataset):
  whole = list(sample_sequences(dataset, 10**9, seed=1))
  assert len(whole) == len(dataset.source("train"))
  part = list(sample_sequences(dataset, 200, seed=1))
  assert 200 <= sum(len(pair) for pair, _ in part) < 400
  for (a, _), (b, _) in zip(part, whole, strict=False):
    np.testing.assert_array_equal(a, b)


def test_another_seed_takes_another_sample(dataset):
  first = lambda seed: [
      t[0] for _, t in sample_sequences(dataset, 10**9, seed)
  ]
  assert sorted(first(1)) == sorted(first(2)) and first(1) != first(2)


def test_gaps_are_counted_inside_sequences(dataset):
  gaps, counts = count_gaps(dataset)
  assert gaps.tolist() == [0, 700_000, 1_400_000, 2_100_000]
  meta = dataset.meta["splits"]["train"]
  assert counts.sum() == meta["num_events"] - meta["num_sequences"]


def test_runs_are_counted_to_the_longest_told_apart(dataset):
  counts = count_runs(dataset, read_rule("none", dataset))
  assert len(counts) == MAX_RUN
  total = sum((i + 1) * n for i, n in enumerate(counts))
  assert total == dataset.meta["splits"]["train"]["num_events"]


@pytest.mark.parametrize("text, kind", [
    ("none", "none"), ("1800", "fixed"), ("q0.9", "user_quantile")
])
def test_session_rules_are_read_from_texts(dataset, text, kind):
  assert read_rule(text, dataset).kind == kind


@pytest.mark.parametrize("text", ["", "often", "q", "q2", "-3", "0"])
def test_other_texts_are_refused(dataset, text):
  with pytest.raises(UserError, match="sessions .*Give 'none', seconds"):
    read_rule(text, dataset)


def test_what_cannot_be_learned_is_said(dataset):
  with pytest.raises(UserError, match="Give a fixed threshold"):
    read_rule("learned", dataset)


def test_settings_reach_the_tokenizer(dataset):
  tokenizer = train_tokenizer(
      dataset,
      "bpe",
      vocab_size=60,
      alphabet_size=40,
      sessions="60",
      sep_tokens=True,
      collapse_repeats=True,
  )
  settings = tokenizer.settings
  assert settings.sessions.seconds == 60 and settings.sep_tokens
  assert settings.collapse_repeats and sum(settings.run_lengths) > 0
  assert tokenizer.vocab_size <= 60


def test_an_unknown_kind_names_the_known_ones(dataset):
  with pytest.raises(UserError, match="known are .'bpe', 'pair'"):
    train_tokenizer(dataset, "words", vocab_size=60)
