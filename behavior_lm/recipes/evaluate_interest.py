"""The measures of trained two-tower models, beside counts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from behavior_lm.artifacts.commands import this_command
from behavior_lm.artifacts.run_folder import config_hash
from behavior_lm.common.errors import UserError
from behavior_lm.evaluation import table
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes import interest
from behavior_lm.recipes.interest_run import InterestRun
from behavior_lm.recipes.interest_run import load_interest_run
from behavior_lm.training.sharding import make_mesh


def evaluate_interest(
    runs: Sequence[str | Path],
    dataset: Dataset,
    name: str,
    split: str = "",
    *,
    best: bool = False,
) -> dict[str, Any]:
  """Scores runs and baselines; see `recipes.evaluate.evaluate_runs`.

  Raises:
    UserError: if a folder is no such run, or the runs cannot be compared.
  """
  models: dict[str, Any] = {}
  seeds, hashes = {}, {}
  first: InterestRun | None = None
  for run in runs:
    loaded = load_interest_run(run, best=best)
    first = first or loaded
    settings = [_settings(one, name, run) for one in (first, loaded)]
    if settings[0] != settings[1]:
      raise UserError(
          f"{run} differs from {runs[0]} in evals.{name} or in how histories"
          " are divided; evaluate them apart."
      )
    subject = loaded.subject(dataset, make_mesh())
    changes = {"every": 0} | ({"split": split} if split else {})
    evaluator = interest.make_evaluator(
        loaded.config, name, subject, **changes
    )
    label = label_of(loaded.config)
    if label in models:
      label = f"{label} {Path(run).name}"
    models[label] = evaluator.scores(loaded.state)
    seeds[label] = loaded.config.seed
    hashes[label] = config_hash(loaded.config)
  baselines, unfair = evaluator.baselines()
  users = next(iter(models.values())).users
  return {
      "evaluator": loaded.config.evals[name].evaluator,
      "title": evaluator.title,
      "command": this_command(),
      "data": dataset.path.resolve().name,
      "data_fingerprint": dataset.meta["fingerprint"],
      "split": evaluator.split,
      "settings": evaluator.settings,
      "counts": {
          "targets": len(users),
          "events": evaluator.num_events,
          "users": len(set(users)),
      },
      "columns": [dict(column) for column in evaluator.columns],
      "main": evaluator.main,
      "notes": [*evaluator.notes, table.NOTE],
      "rows": table.make_rows(
          models,
          {k: v for k, v in baselines.items() if k not in unfair},
          {k: v for k, v in baselines.items() if k in unfair},
          columns=evaluator.columns,
          main=evaluator.main,
          intervals=evaluator.intervals,
          seeds=seeds,
          config_hashes=hashes,
      ),
  }


def label_of(config: Any) -> str:
  """A few words that tell a run from others."""
  experts = config.experts
  words = [
      f"{experts.num_experts} experts ({experts.balance})"
      if experts.num_experts
      else "no experts",
      config.model.pooling,
      config.objective.name,
  ]
  if not config.model.num_layers:
    words[0] = "no towers"
  return ", ".join(words)


def _settings(run: InterestRun, name: str, folder: Any) -> Mapping[str, Any]:
  config = run.config
  if name not in config.evals:
    raise UserError(
        f"{folder}: its config has no evaluator {name!r}; it has"
        f" {', '.join(config.evals) or 'none'}."
    )
  return config.evals[name].to_dict() | {
      "every": 0,
      "short_share": config.data.short_share,
      "items": run.vocabulary.ids,
  }
