"""N-grams scored on the events that a causal model is asked for."""

from collections.abc import Sequence

import numpy as np

from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.baselines.gap_ngrams import GapNGrams
from behavior_lm.baselines.ngrams import NGramModel
from behavior_lm.baselines.ngrams import SMOOTHINGS
from behavior_lm.data.hidden_events import SpelledBits
from behavior_lm.data.reading import Reading
from behavior_lm.data.token_source import open_tokens
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.logs import schema
from behavior_lm.logs.dataset import Dataset

ORDERS = 5
_NAMES = {"witten_bell": "Witten-Bell", "kneser_ney": "Kneser-Ney"}


def score_next_event_baselines(
    dataset: Dataset,
    tokenizer: Tokenizer,
    *,
    split: str,
    train_split: str = "train",
    orders: int = ORDERS,
    smoothings: Sequence[str] = SMOOTHINGS,
) -> dict[str, SequenceScores]:
  """Counts on the training split, scores every event of another.

  The context restarts with each sequence. Of the special tokens only UNK (an
  event that happened) and SEP (where a tokenizer writes it) are symbols; no
  other one gets a share of the probability.

  Args:
    dataset: prepared logs.
    tokenizer: the models' own, so that tokens compare.
    split: which split is scored.
    train_split: where events are counted.
    orders: of the longest n-grams; all shorter ones are scored too.
    smoothings: of `ngrams.SMOOTHINGS`; the last one is also scored with the
      gap before the last event as a part of the context.

  Returns:
    name -> scores, with the sequences in the order of the split. What an
    n-gram would answer is not worked out: `correct` is NaN.
  """
  reading = Reading(gap_kind="previous")
  source = open_tokens(dataset, train_split, tokenizer, reading)
  found = [source[i] for i in range(len(source))]
  train = [_symbols(fields["tokens"]) for fields in found]
  train_gaps = [fields["time_gaps"] for fields in found]
  source = open_tokens(
      dataset,
      split,
      tokenizer,
      reading,
      annotate=SpelledBits(dataset, tokenizer),
  )
  scored = [source[i] for i in range(len(source))]
  test = [_symbols(fields["tokens"]) for fields in scored]
  join = lambda name: np.concatenate([fields[name] for fields in scored])
  is_event = join("num_events") > 0
  owner = np.repeat(np.arange(len(test)), [len(tokens) for tokens in test])
  users = dataset.sequences(split)["user_id"].to_numpy()

  def total(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.bincount(
        owner[is_event], values[is_event], minlength=len(test)
    )
    return found

  def scores(log_probs: np.ndarray) -> SequenceScores:
    return SequenceScores(
        nats=total(-log_probs),
        correct=np.full(len(test), np.nan),
        hidden_bits=total(join("hidden_bits")),
        count=total(np.ones(len(owner))),
        num_events=total(join("num_events").astype(np.float64)),
        users=users,
    )

  out = {}
  for smoothing in smoothings:
    model = NGramModel(orders, _num_symbols(tokenizer), smoothing).fit(train)
    plain = model.log_probs_of_orders(test)
    for order, log_probs in enumerate(plain, 1):
      # Unigrams are smoothed by the uniform distribution either way.
      if order == 1 and smoothing != smoothings[0]:
        continue
      name = "unigram" if order == 1 else f"{order}-gram ({_NAMES[smoothing]})"
      out[name] = scores(log_probs)
  with_gaps = GapNGrams(model).fit(train, train_gaps)
  test_gaps = [fields["time_gaps"] for fields in scored]
  of_orders = with_gaps.log_probs_of_orders(test, test_gaps, plain)
  for order, log_probs in enumerate(of_orders[1:], 2):
    out[f"{order}-gram with gap ({_NAMES[smoothing]})"] = scores(log_probs)
  return out


def _symbols(tokens: np.ndarray) -> np.ndarray:
  """Ids without those of special tokens; UNK is 0, SEP is 1."""
  symbols = tokens.astype(np.int64) - schema.NUM_SPECIAL + 2
  symbols[tokens == schema.UNK_ID] = 0
  symbols[tokens == schema.SEP_ID] = 1
  return symbols


def _num_symbols(tokenizer: Tokenizer) -> int:
  return tokenizer.vocab_size - schema.NUM_SPECIAL + 2
