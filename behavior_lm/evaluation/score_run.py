"""Scores of a run folder's last checkpoint."""

from pathlib import Path

from flax import nnx
import ml_collections

from behavior_lm.data.dataset import Dataset
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.evaluation.masked_perplexity import MaskedPerplexity
from behavior_lm.evaluation.masked_perplexity import SequenceScores
from behavior_lm.training.build import build_model
from behavior_lm.training.checkpoint import Checkpoints
from behavior_lm.training.run_folder import load_config
from behavior_lm.training.sharding import make_mesh
from behavior_lm.training.state import split_model


def score_run(
    run: str | Path, dataset: Dataset, split: str
) -> tuple[SequenceScores, ml_collections.ConfigDict]:
  """Masked scores of a run on a split, and the run's config.

  Raises:
    UserError: if the folder is no run, has no checkpoint, or the dataset has
      no such split.
  """
  config = load_config(run)
  tokenizer = load_tokenizer(Path(run) / "tokenizer")
  make_model = build_model(config, tokenizer.vocab_size)
  graphdef, shapes = split_model(
      nnx.eval_shape(lambda: make_model(rngs=nnx.Rngs(0)))
  )
  checkpoints = Checkpoints(Path(run) / "checkpoints", keep=None)
  params = checkpoints.restore_params(shapes)
  checkpoints.close()
  mesh = make_mesh()
  evaluator = MaskedPerplexity(
      config, dataset, tokenizer, graphdef, mesh, split
  )
  return evaluator.scores(params), config
