"""Scores of trained runs on any dataset, beside plain baselines."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from behavior_lm.artifacts.run_folder import load_run_config
from behavior_lm.artifacts.scores import SequenceScores
from behavior_lm.common.errors import UserError
from behavior_lm.data.tokenizers import load_tokenizer
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes.evaluate_interest import evaluate_interest
from behavior_lm.recipes.evaluate_ranking import evaluate_ranking
from behavior_lm.recipes.pretrain import make_evaluator
from behavior_lm.recipes.pretrain import make_subject
from behavior_lm.recipes.pretrain import TOKENIZER
from behavior_lm.recipes.shared.loading import load_run
from behavior_lm.recipes.shared.loading import LoadedRun
from behavior_lm.recipes.shared.scored import Scored
from behavior_lm.training.sharding import make_mesh

# Recipes whose runs are no language models.
_OF_RECIPE: dict[str, Callable[..., dict[str, Any]]] = {
    "interest": evaluate_interest,
    "retrieval": evaluate_ranking,
}


def evaluate_runs(
    runs: Sequence[str | Path],
    dataset: Dataset,
    name: str,
    split: str = "",
    *,
    best: bool = False,
) -> dict[str, Any]:
  """Scores runs and baselines by the evaluator `config.evals.NAME`.

  Args:
    runs: folders; the evaluator's settings and the tokenizer must be equal.
    dataset: any.
    name: of the evaluator in the configs.
    split: of the dataset; the evaluator's own when empty.
    best: score the best checkpoint of each run instead of the last.

  Returns:
    The record of `artifacts.evaluation`; the rows of the runs come first, in
    their order.

  Raises:
    UserError: if a folder is no run, or the runs cannot be compared.
  """
  own = _OF_RECIPE.get(load_run_config(runs[0]).recipe) if runs else None
  if own is not None:
    return own(runs, dataset, name, split, best=best)
  check_alike(runs, name)
  scored = Scored()
  for run in runs:
    evaluator, loaded = open_evaluator(run, dataset, name, split, best=best)
    config = loaded.config
    label = f"{config.model.name} ({config.model.time_encoding})"
    scored.add(run, label, evaluator.scores(loaded.state), config)
  first = scored.first
  return scored.record(
      config.evals[name].evaluator,
      evaluator,
      dataset,
      evaluator.baselines(),
      settings={"vocab_size": loaded.tokenizer.vocab_size},
      counts={
          "targets": int(first.count.sum()),
          "events": int(first.num_events.sum()),
          "users": len(set(first.users.tolist())),
      },
      columns=evaluator.columns,
      main=evaluator.main,
      notes=evaluator.notes,
  )


def of_one_run(result: Mapping[str, Any], place: int) -> dict[str, Any]:
  """The record of run number `place` alone, with all baselines."""
  models = [row for row in result["rows"] if row["kind"] == "model"]
  others = [row for row in result["rows"] if row["kind"] != "model"]
  return {**result, "rows": [models[place], *others]}


def open_evaluator(
    run: str | Path,
    dataset: Dataset,
    name: str,
    split: str = "",
    *,
    best: bool = False,
    **changes: Any,
) -> tuple[Any, LoadedRun]:
  """The evaluator `config.evals.NAME` of a run on any dataset, and the run.

  Args:
    run: its folder.
    dataset: any.
    name: of the evaluator.
    split: of the dataset; the evaluator's own when empty.
    best: take the best checkpoint instead of the last.
    **changes: settings that are not the config's.
  """
  loaded = load_run(run, best=best)
  subject = make_subject(
      loaded.config, dataset, loaded.tokenizer, loaded.graphdef, make_mesh()
  )
  changes |= {"every": 0} | ({"split": split} if split else {})
  return make_evaluator(loaded.config, name, subject, **changes), loaded


def evaluator_names(
    run: str | Path, dataset: Dataset, split: str = ""
) -> list[str]:
  """The evaluators of a run's config whose split the dataset has.

  With `split`, which would be scored by all of them, the first one alone.

  Raises:
    UserError: if there are none.
  """
  evals = load_run_config(run).evals
  names = [name for name in evals if evals[name].split in dataset.splits]
  if split:
    names = list(evals)[:1]
  if not names:
    raise UserError(
        f"{run}: no evaluator of its config has a split of {dataset.path}, it"
        f" has {', '.join(dataset.splits)}. Name a split with --split."
    )
  return names


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
    **changes: Any,
) -> SequenceScores:
  """Scores of one run; see `open_evaluator`."""
  evaluator, loaded = open_evaluator(run, dataset, name, split, **changes)
  scores: SequenceScores = evaluator.scores(loaded.state)
  return scores
