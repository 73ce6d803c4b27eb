import math

from flax import nnx
import numpy as np
import pytest

from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.baselines.count_baselines import FULL_CONTEXT
from behavior_lm.baselines.count_baselines import SAME_INFORMATION
from behavior_lm.baselines.count_baselines import score_baselines
from behavior_lm.baselines.count_baselines import UNIGRAM
from behavior_lm.baselines.count_baselines import WITH_GAP
from behavior_lm.common.errors import UserError
from behavior_lm.data.fixed_mask import fixed_mask
from behavior_lm.data.hidden_events import MaskedTokens
from behavior_lm.data.token_source import open_tokens
from behavior_lm.data.tokenizers.training import train_tokenizer
from behavior_lm.logs.dataset import open_dataset
from behavior_lm.recipes.pretrain import make_evaluator
from behavior_lm.recipes.pretrain import make_subject
from behavior_lm.recipes.shared import parts
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import split_model
from tests.tiny import tiny_config


def evaluate(dataset_path, zero=False, vocab_size=7000, **changes):
  config = tiny_config(dataset_path, **changes)
  config.tokenizer.vocab_size = vocab_size
  dataset = open_dataset(dataset_path)
  tokenizer = parts.make_tokenizer(config, dataset)
  model = parts.language_model(config, tokenizer.vocab_size)(rngs=nnx.Rngs(0))
  graphdef, params, model_state = split_model(model)
  if zero:
    params["encoder"]["embed"]["token"]["embedding"] *= 0
  subject = make_subject(config, dataset, tokenizer, graphdef, make_mesh())
  evaluator = make_evaluator(config, "test", subject)
  state = {"params": params, "model_state": model_state}
  return evaluator.scores(state), dataset, tokenizer


@pytest.mark.slow
def test_the_mask_is_the_fixed_one_and_exact_for_every_sequence(dataset_path):
  scores, dataset, _ = evaluate(dataset_path)
  sizes = dataset.sequences("test")["num_events"].to_numpy()
  assert scores.count.tolist() == [round(0.15 * n) for n in sizes]


def test_a_model_that_knows_nothing_has_the_perplexity_of_the_vocabulary(
    dataset_path,
):
  scores, _, tokenizer = evaluate(dataset_path, zero=True)
  # all ordinary tokens and UNK alike; the other four specials are excluded
  want = tokenizer.vocab_size - 4
  assert scores.summary()["perplexity"] == pytest.approx(want, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"data__pack": False},
        {"data__batch_size": 3},
        {"data__max_segments": 2},
        {"data__prefetch": 0},
    ],
    ids=str,
)
def test_scores_do_not_depend_on_packing_or_batches(dataset_path, changes):
  want, _, _ = evaluate(dataset_path)
  got, _, _ = evaluate(dataset_path, **changes)
  np.testing.assert_allclose(got.nats, want.nats, rtol=1e-4)
  np.testing.assert_array_equal(got.count, want.count)


@pytest.mark.slow
def test_a_smaller_vocabulary_pays_for_what_it_hides(dataset_path):
  whole, _, _ = evaluate(dataset_path)
  assert whole.hidden_bits.sum() == 0
  capped, _, tokenizer = evaluate(dataset_path, vocab_size=10)
  assert tokenizer.vocab_size == 10
  assert capped.hidden_bits.sum() > 0
  summary = capped.summary()
  assert summary["bits_per_event"] > math.log2(summary["perplexity"]) + 1


@pytest.mark.slow
def test_baselines_are_scored_on_the_very_same_events(dataset_path):
  scores, dataset, tokenizer = evaluate(dataset_path)
  baselines = score_baselines(
      dataset, tokenizer, split="test", mask_rate=0.15, mask_seed=0
  )
  assert set(baselines) == {
      UNIGRAM, SAME_INFORMATION, WITH_GAP, FULL_CONTEXT,
  }
  for baseline in baselines.values():
    np.testing.assert_array_equal(baseline.count, scores.count)
    np.testing.assert_array_equal(baseline.users, scores.users)
    np.testing.assert_allclose(baseline.hidden_bits, scores.hidden_bits)
  bits = {k: v.summary()["bits_per_event"] for k, v in baselines.items()}
  # The logs repeat a chain with slips: neighbours tell, and true ones more.
  assert bits[FULL_CONTEXT] < bits[SAME_INFORMATION] < bits[UNIGRAM]


def test_the_unigram_baseline_equals_counting_by_hand(dataset_path):
  dataset = open_dataset(dataset_path)
  config = tiny_config(dataset_path)
  tokenizer = parts.make_tokenizer(config, dataset)
  table = 5 + tokenizer.unit_table(dataset.pairs)
  tokens = lambda split: [
      (example, table[example["pair"]])
      for example in (
          dataset.source(split)[i] for i in range(len(dataset.source(split)))
      )
  ]
  counts = np.bincount(
      np.concatenate([t for _, t in tokens("train")]),
      minlength=tokenizer.vocab_size,
  )
  kinds, total = (counts > 0).sum(), counts.sum()
  probability = (counts + kinds / tokenizer.vocab_size) / (total + kinds)
  want = [
      -np.log(
          probability[t[fixed_mask(e["user_id"], e["start"], len(t))]]
      ).sum()
      for e, t in tokens("test")
  ]
  got = score_baselines(
      dataset, tokenizer, split="test", mask_rate=0.15, mask_seed=0
  )[UNIGRAM]
  np.testing.assert_allclose(got.nats, want, rtol=1e-9)


def test_a_summary_is_weighted_by_events():
  scores = SequenceScores(
      nats=np.asarray([2.0, 0.0]),
      correct=np.asarray([0.0, 3.0]),
      hidden_bits=np.asarray([8.0, 0.0]),
      count=np.asarray([1.0, 3.0]),
      num_events=np.asarray([2.0, 6.0]),
      users=np.asarray(["a", "b"]),
  )
  summary = scores.summary()
  assert summary["perplexity"] == pytest.approx(math.exp(0.5))
  assert summary["accuracy"] == 0.75
  assert summary["bits_per_event"] == pytest.approx((2 / math.log(2) + 8) / 8)


def test_an_unknown_split_names_those_there_are(dataset_path):
  with pytest.raises(UserError, match=r"only \['test', 'train'\]"):
    evaluate(dataset_path, evals__test__split="valid")


def chained(dataset):
  return train_tokenizer(
      dataset, kind="bpe", vocab_size=60, alphabet_size=40, sessions="60"
  )


def test_hidden_spans_are_the_events_of_the_masked_chains(dataset_path):
  dataset = open_dataset(dataset_path)
  chains = chained(dataset)
  pairs = train_tokenizer(dataset, kind="pair", vocab_size=7000)
  read = lambda tokenizer, spans_of=None: open_tokens(
      dataset,
      "test",
      tokenizer,
      annotate=MaskedTokens(dataset, tokenizer, 0.15, 0, spans_of),
  )
  longest = 0
  for of_chains, of_pairs in zip(
      read(chains), read(pairs, chains), strict=True
  ):
    hidden = np.repeat(of_chains["masked"], of_chains["num_events"])
    np.testing.assert_array_equal(of_pairs["masked"], hidden)
    longest = max(longest, of_chains["num_events"].max())
  assert longest > 1


def test_spans_are_not_hidden_from_tokens_that_may_be_cut_by_them(
    dataset_path,
):
  dataset = open_dataset(dataset_path)
  chains = chained(dataset)
  with pytest.raises(ValueError, match="this bpe tokenizer has longer tokens"):
    MaskedTokens(dataset, chains, 0.15, 0, chains)
