"""The measures of trained two-tower models, beside counts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from behavior_lm.common.errors import UserError
from behavior_lm.logs.dataset import Dataset
from behavior_lm.recipes import interest
from behavior_lm.recipes.interest_run import InterestRun
from behavior_lm.recipes.interest_run import load_interest_run
from behavior_lm.recipes.shared.scored import Scored
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
  scored = Scored()
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
    scores = evaluator.scores(loaded.state)
    scored.add(run, label_of(loaded.config), scores, loaded.config)
  users = scored.first.users
  return scored.record(
      loaded.config.evals[name].evaluator,
      evaluator,
      dataset,
      evaluator.baselines(),
      counts={
          "targets": len(users),
          "events": evaluator.num_events,
          "users": len(set(users)),
      },
      columns=evaluator.columns,
      main=evaluator.main,
      notes=evaluator.notes,
      intervals=evaluator.intervals,
  )


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
