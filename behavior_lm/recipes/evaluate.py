"""Scores of trained runs on any dataset, beside plain baselines."""

from collections.abc import Mapping, Sequence
import dataclasses
from pathlib import Path
from typing import Any

from behavior_lm.artifacts.run_folder import config_hash
from behavior_lm.artifacts.run_folder import load_run_config
from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.data.tokenizers import Tokenizer
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes.loading import load_run
from behavior_lm.recipes.pretrain import make_evaluator
from behavior_lm.recipes.pretrain import make_subject
from behavior_lm.recipes.pretrain import TOKENIZER
from behavior_lm.training.sharding import make_mesh


@dataclasses.dataclass(frozen=True)
class Scores:
  """Scores of runs by one evaluator, on the same events.

  Attributes:
    evaluator: kind of the evaluator, a key of `EVALUATORS`.
    title: what it measures.
    split, settings: of the evaluator.
    models: by the name of the run's row in a table, in the order of the runs.
    seeds, hashes: of the configs, by the same names.
    baselines: by name.
    references: names of the baselines that are no fair rivals.
    vocab_size: of the tokenizer.
  """

  evaluator: str
  title: str
  split: str
  settings: Mapping[str, Any]
  models: Mapping[str, SequenceScores]
  seeds: Mapping[str, int]
  hashes: Mapping[str, str]
  baselines: Mapping[str, SequenceScores]
  references: tuple[str, ...]
  vocab_size: int


def score_runs(
    runs: Sequence[str | Path],
    dataset: Dataset,
    name: str,
    split: str = "",
    *,
    best: bool = False,
) -> Scores:
  """Scores runs by the evaluator `config.evals.NAME`.

  Args:
    runs: folders; the evaluator's settings and the tokenizer must be equal.
    dataset: any.
    name: of the evaluator in the configs.
    split: of the dataset; the evaluator's own when empty.
    best: score the best checkpoint of each run instead of the last.

  Raises:
    UserError: if a folder is no run, or the runs cannot be compared.
  """
  check_alike(runs, name)
  changes = {"every": 0} | ({"split": split} if split else {})
  models, seeds, hashes = {}, {}, {}
  for run in runs:
    loaded = load_run(run, best=best)
    config = loaded.config
    subject = make_subject(
        config, dataset, loaded.tokenizer, loaded.graphdef, make_mesh()
    )
    evaluator = make_evaluator(config, name, subject, **changes)
    label = f"{config.model.name} ({config.model.time_encoding})"
    if label in models:
      label = f"{label} {Path(run).name}"
    models[label] = evaluator.scores(loaded.state)
    seeds[label], hashes[label] = config.seed, config_hash(config)
  baselines, references = evaluator.baselines()
  return Scores(
      evaluator=config.evals[name].evaluator,
      title=evaluator.title,
      split=evaluator.split,
      settings=evaluator.settings,
      models=models,
      seeds=seeds,
      hashes=hashes,
      baselines=baselines,
      references=references,
      vocab_size=loaded.tokenizer.vocab_size,
  )


def evaluator_names(run: str | Path) -> tuple[str, ...]:
  """The evaluators that a run's config names."""
  return tuple(load_run_config(run).evals)


def check_alike(runs: Sequence[str | Path], name: str) -> None:
  """Raises UserError unless the runs are scored on the same events."""
  if not runs:
    raise UserError("no runs: name at least one run folder.")
  first = None
  for run in runs:
    config = load_run_config(run)
    if name not in config.evals:
      raise UserError(
          f"{run}: its config has no evaluator {name!r}; it has"
          f" {', '.join(config.evals) or 'none'}."
      )
    section = config.evals[name].to_dict() | {"every": 0}
    tokenizer = load_tokenizer(Path(run) / TOKENIZER)
    found = (section, tokenizer.fingerprint)
    first = first or found
    if found != first:
      raise UserError(
          f"{run} differs from {runs[0]} in evals.{name} or in the tokenizer;"
          " evaluate them apart."
      )


def score_run(
    run: str | Path,
    dataset: Dataset,
    name: str,
    split: str = "",
    *,
    spans_of: Tokenizer | None = None,
) -> SequenceScores:
  """Scores of one run by its evaluator `config.evals.NAME`.

  Args:
    run: its folder.
    dataset: any.
    name: of the evaluator.
    split: of the dataset; the evaluator's own when empty.
    spans_of: see `data.hidden_events.MaskedTokens`.
  """
  loaded = load_run(run)
  subject = make_subject(
      loaded.config, dataset, loaded.tokenizer, loaded.graphdef, make_mesh()
  )
  changes: dict[str, Any] = {"every": 0}
  changes |= {"split": split} if split else {}
  changes |= {"spans_of": spans_of} if spans_of is not None else {}
  evaluator = make_evaluator(loaded.config, name, subject, **changes)
  scores: SequenceScores = evaluator.scores(loaded.state)
  return scores
