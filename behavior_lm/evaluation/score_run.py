"""Scores of a run folder's last checkpoint."""

from pathlib import Path

import ml_collections

from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.evaluation.masked_perplexity import MaskedPerplexity
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes.loading import load_run
from behavior_lm.training.sharding import make_mesh


def score_run(
    run: str | Path,
    dataset: Dataset,
    split: str,
    spans_of: Tokenizer | None = None,
) -> tuple[SequenceScores, ml_collections.ConfigDict]:
  """Masked scores of a run on a split, and the run's config.

  With `spans_of`, of the events that this tokenizer's masked tokens span.

  Raises:
    UserError: if the folder is no run, has no checkpoint, or the dataset has
      no such split.
  """
  config, tokenizer, graphdef, params, _ = load_run(run)
  mesh = make_mesh()
  evaluator = MaskedPerplexity(
      config, dataset, tokenizer, graphdef, mesh, split, spans_of
  )
  return evaluator.scores(params), config
