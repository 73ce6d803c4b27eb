"""Plain count models scored on the events that a masked model is asked for."""

import numpy as np

from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.baselines.neighbour_model import NeighbourModel
from behavior_lm.baselines.ngrams import NGramModel
from behavior_lm.data.hidden_events import MaskedTokens
from behavior_lm.data.reading import Reading
from behavior_lm.data.time_gaps import GapKind
from behavior_lm.data.token_source import open_tokens
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.logs.dataset import Dataset

UNIGRAM = "unigram"
SAME_INFORMATION = "neighbours (masked context)"
# Also sees the time to one of the nearest neighbours, as models that read gaps
# do.
WITH_GAP = "neighbours with gap (masked context)"
# Sees the true neighbours even where they are masked: not a fair baseline,
# but a line to know.
FULL_CONTEXT = "neighbours (full context)"


def score_baselines(
    dataset: Dataset,
    tokenizer: Tokenizer,
    *,
    split: str,
    mask_rate: float,
    mask_seed: int,
    train_split: str = "train",
    spans_of: Tokenizer | None = None,
    gap_kind: GapKind = "next",
) -> dict[str, SequenceScores]:
  """Counts on the training split, scores of the masked events of another.

  Args:
    dataset: prepared logs.
    tokenizer: the models' own, so that tokens compare.
    split: which split is scored.
    mask_rate: of the fixed mask.
    mask_seed: of the fixed mask.
    train_split: where events are counted.
    spans_of: see `MaskedTokens`.
    gap_kind: of the gaps that models read: the one of the event before tells
      the time to a masked event ("next"), or that of the event behind it.

  Returns:
    name -> scores, with the sequences in the order of the split.
  """
  source = dataset.source(train_split)
  starts = [source[i]["start"] for i in range(len(source))]
  reading = Reading(gap_kind=gap_kind)
  tokens = open_tokens(dataset, train_split, tokenizer, reading)
  found = [tokens[i] for i in range(len(tokens))]
  train = [fields["tokens"] for fields in found]
  train_gaps = [fields["time_gaps"] for fields in found]
  annotate = MaskedTokens(
      dataset, tokenizer, mask_rate, mask_seed, spans_of
  )
  tokens = open_tokens(dataset, split, tokenizer, reading, annotate)
  scored = [tokens[i] for i in range(len(tokens))]
  test = [fields["tokens"] for fields in scored]
  masks = [fields["masked"] > 0 for fields in scored]
  count = np.asarray([mask.sum() for mask in masks], np.float64)
  owner = np.repeat(np.arange(len(masks)), count.astype(np.int64))
  join = lambda name: np.concatenate(
      [fields[name][mask] for fields, mask in zip(scored, masks, strict=True)]
  )
  truth, spelled, spanned = map(join, ("tokens", "hidden_bits", "num_events"))
  users = dataset.sequences(split)["user_id"].to_numpy()

  def scores(log_probs: np.ndarray, best: np.ndarray) -> SequenceScores:
    add = lambda values: np.bincount(owner, values, minlength=len(masks))
    return SequenceScores(
        nats=add(-log_probs),
        correct=add((best == truth).astype(np.float64)),
        hidden_bits=add(spelled),
        count=count,
        num_events=add(spanned),
        users=users,
    )

  unigram = NGramModel(1, tokenizer.vocab_size).fit(train)
  most_frequent = np.bincount(np.concatenate(train)).argmax()
  log_probs = np.concatenate([
      unigram.log_probs(tokens)[mask]
      for tokens, mask in zip(test, masks, strict=True)
  ])
  out = {UNIGRAM: scores(log_probs, np.full(len(truth), most_frequent))}
  neighbours = NeighbourModel(tokenizer.vocab_size, hide_rate=mask_rate)
  neighbours.fit(train, starts)
  for name, hide in ((SAME_INFORMATION, True), (FULL_CONTEXT, False)):
    out[name] = scores(
        neighbours.log_probs_of(test, masks, hide),
        neighbours.predict_of(test, masks, hide),
    )
  with_gap = NeighbourModel(
      tokenizer.vocab_size,
      hide_rate=mask_rate,
      gap_side=-1 if gap_kind == "next" else 1,
  )
  with_gap.fit(train, starts, train_gaps)
  gaps = [fields["time_gaps"] for fields in scored]
  out[WITH_GAP] = scores(
      with_gap.log_probs_of(test, masks, True, gaps),
      with_gap.predict_of(test, masks, True, gaps),
  )
  return out
